"""How the command line speaks: results, errors, progress."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

SIMULATION_BANNER = (
    "SIMULATION: no hardware protects this enclave. Whoever runs the host can read everything. "
    "For development and tests only."
)
talk = Console(stderr=True, highlight=False)
"""Talk goes to standard error."""


def wants_json(arguments: Sequence[str]) -> bool:
    """True if the command line asks for JSON."""
    return "--json" in arguments


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False))


def print_error(message: str, *, hint: str | None, kind: str, code: int, as_json: bool) -> None:
    """One clear line on standard error and, if there is one, what to do; with JSON the same as a document."""
    if as_json:
        print_json({"error": {"message": message, "hint": hint, "type": kind, "exit_code": code}})
        return
    click.echo(f"cloister: error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def tell(message: str) -> None:
    """One line of progress."""
    talk.print(f"[dim]•[/dim] {escape(message)}", soft_wrap=True)


def silent(message: str) -> None:
    """No progress."""
    del message


def warn_simulation(*, quiet: bool = False) -> None:
    """Say loudly that this is a simulation."""
    if not quiet:
        talk.print(f"[bold red]{SIMULATION_BANNER}[/bold red]", soft_wrap=True)
