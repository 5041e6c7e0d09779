"""The `cloister` command's frame: lazily loaded commands, one presenter for errors, documented exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import click

from cloister import __version__
from cloister.errors import CloisterError

from .presentation import print_error, wants_json

COMMANDS = {
    "bench": ("cloister.cli.bench:bench", "Measure on this machine, beside something real in the same run."),
    "chaincode": ("cloister.cli.chaincode:chaincode", "Measure, package, deploy and upgrade chaincode."),
    "checkpoint": ("cloister.cli.checkpoint:checkpoint", "Show and compare how far channels were."),
    "demo": ("cloister.cli.demo:demo", "Run a whole example and show what a peer can see."),
    "evaluate": ("cloister.cli.transact:evaluate", "Call a function of a chaincode, commit nothing."),
    "fabric": ("cloister.cli.fabric:fabric", "Build and find the Fabric programs."),
    "host": ("cloister.cli.host:host", "Run an organisation's host with its enclave."),
    "init": ("cloister.cli.init:init", "Bring an organisation's enclave to life: evidence, registration, keys."),
    "ledger": (
        "cloister.cli.ledger:ledger",
        "Judge a Fabric ledger without believing a peer; run an organisation's ledger enclave.",
    ),
    "network": ("cloister.cli.network:network", "Start, show and stop a real Fabric network on this machine."),
    "open": ("cloister.cli.transact:open_outcome", "Open a committed transaction's outcome, whenever."),
    "receipt": ("cloister.cli.receipt:receipt", "Show others what a transaction was; check what others show."),
    "registry": ("cloister.cli.registry:registry", "Show registered enclaves; revoke one."),
    "repair": ("cloister.cli.repair:repair", "Put back what a chaincode last wrote, where others wrote in its name."),
    "submit": ("cloister.cli.transact:submit", "Call a function of a chaincode and commit what it did."),
    "upgrade": ("cloister.cli.upgrade:upgrade", "Approve that a chaincode's keys go to another measurement."),
}
"""Loaded only when used: `--help` stays quick, and nobody imports gRPC for nothing."""

EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = 130
EPILOG = """\b
Exit codes: 0 done · 2 usage · 3 malformed input · 4 refused (verification, policy) ·
5 a peer, host or enclave failed · 6 transaction not valid · 7 this machine (port, file,
program) · 8 the contract's own error · 70 a fault of ours · 130 interrupted or terminated.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module_name, _, attribute = entry[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cloister")
@click.option("--debug", is_flag=True, envvar="CLOISTER_DEBUG", help="Show tracebacks of errors.")
@click.pass_context
def cli(ctx: click.Context, *, debug: bool) -> None:
    """Confidential smart contracts for Hyperledger Fabric."""
    ctx.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit. Terminated, it stops as after Ctrl-C: what it started does not stay behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or bool(os.environ.get("CLOISTER_DEBUG"))
    sys.exit(_run(arguments, debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    """The exit code."""
    as_json = wants_json(arguments)
    try:
        result: Any = cli.main(args=arguments, prog_name="cloister", standalone_mode=False)
    except CloisterError as error:
        if debug:
            traceback.print_exc()
        print_error(error.message, hint=error.hint, kind=type(error).__name__, code=error.exit_code, as_json=as_json)
        return error.exit_code
    except click.UsageError as error:
        usage = error.ctx.get_usage() if error.ctx else ""
        print_error(error.format_message(), hint=usage or None, kind="UsageError", code=2, as_json=as_json)
        return 2
    except click.ClickException as error:
        print_error(error.format_message(), hint=None, kind="UsageError", code=2, as_json=as_json)
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("cloister: interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, told in one line
        if debug:
            traceback.print_exc()
        hint = "run again with --debug and report what it shows"
        kind = type(error).__name__
        print_error(f"unexpected error: {kind}", hint=hint, kind=kind, code=EXIT_UNEXPECTED, as_json=as_json)
        return EXIT_UNEXPECTED
    return result if isinstance(result, int) else 0


def _silence_stdout() -> None:
    """Python would complain about the closed pipe once more while ending."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
