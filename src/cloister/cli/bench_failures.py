"""`cloister bench failures`: does the time of a refusal tell why it was refused?"""

from __future__ import annotations

from dataclasses import asdict

import click

from .presentation import print_json


@click.command()
@click.option("--rounds", type=click.IntRange(min=2), default=9, show_default=True, help="How often to measure.")
@click.option("--repeats", type=click.IntRange(min=10), default=300, show_default=True, help="Refusals in each round.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def failures(*, rounds: int, repeats: int, as_json: bool) -> None:
    """How long it takes to refuse what does not open, by the kind of failure.

    Every kind is the same error; what is left is the time. Kinds are measured by turns; the ratio is to the median of
    all kinds of the same thing, in brackets its lowest and highest over the rounds.
    """
    from cloister.bench.failures import measure_failures

    found = measure_failures(rounds=rounds, repeats=repeats)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    for item in found:
        spread = f"{item.ratio:.2f} ({item.lowest:.2f} to {item.highest:.2f})"
        click.echo(f"{item.thing:14} {item.kind:36} {item.microseconds:8.1f} µs   {spread}")
