"""`cloister bench micro`: single steps on their own."""

from __future__ import annotations

from dataclasses import asdict

import click

from .presentation import print_json, status_line


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How often to measure.")
@click.option("--calls", type=click.IntRange(min=1), default=200, show_default=True, help="Calls per step and round.")
@click.option(
    "--keys", type=click.IntRange(min=1), default=100_000, show_default=True, help="Keys to take the memory of."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def micro(*, rounds: int, calls: int, keys: int, as_json: bool) -> int:
    """Single steps: sealing, HPKE, signatures, an enclave's share of a call, a check of a read, start, memory.

    No Fabric runs. Medians over the rounds, with lowest and highest. How fast the judge catches up with a whole ledger
    is measured by `cloister bench ledger`.
    """
    from cloister.bench.micro import ONCE, STEPS, bench_micro

    with status_line(quiet=as_json) as show:
        found = bench_micro(rounds=rounds, calls=calls, keys=keys, progress=show)
    if as_json:
        print_json({"format": "cloister/bench/micro/1", **asdict(found)})
        return 0
    click.echo(f"{rounds} rounds of {calls} calls; median (lowest to highest)")
    for unit, figures, texts in (("µs", found.microseconds, STEPS), ("ms", found.milliseconds, ONCE)):
        for name, value in figures.items():
            click.echo(f"{value.median:9.1f} {unit}  ({value.lowest:.1f} to {value.highest:.1f})  {texts[name]}")
    memory = found.memory
    click.echo(
        f"{memory.per_key:9.0f} bytes of a ledger enclave per key; {memory.per_transaction:.0f} per transaction id"
    )
    return 0
