"""How the command line speaks: results, errors, progress."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from cloister.errors import UsageError

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


def show_key(key: str) -> str:
    """A stored key in one line, as `parse_key` reads it: control characters (composite keys begin with U+0000) as JSON
    escapes them."""
    return json.dumps(key, ensure_ascii=False)[1:-1]


def parse_key(text: str) -> str:
    """Inverse of `show_key`. Raises: UsageError."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError as error:
        raise UsageError(
            f"key: cannot be read: {text!r}", hint="give it as `cloister ledger suspects` shows it"
        ) from error


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


@contextlib.contextmanager
def progress_bar(what: str, unit: str, *, total: int | None, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; call the result with how much more is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    counted = f"{{task.completed}} {unit}"
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn(counted), TimeElapsedColumn())
    with Progress(*columns, console=talk, disable=quiet, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)


@contextlib.contextmanager
def status_line(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """One line on standard error that says what is being done, in place; where that is no terminal, nothing."""
    if quiet or not talk.is_terminal:
        yield silent
        return
    with talk.status("") as status:
        yield lambda message: status.update(escape(message))


@contextlib.contextmanager
def working_folder(named: Path | None, prefix: str) -> Iterator[Path]:
    """The named folder, or a temporary one that is removed at the end; below it `network` is free to be made."""
    folder = named or Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder if named is not None else folder / "network"
    finally:
        if named is None:
            shutil.rmtree(folder, ignore_errors=True)
