"""The command line's manners: help, exit codes, one clear line, no traceback unless asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cloister.cli.main import COMMANDS
from cloister.host.config import load_host_config
from cloister.ledger_service.config import load_ledger_config

SUBCOMMANDS = [
    [],
    *[[name] for name in COMMANDS],
    ["network", "up"],
    ["network", "status"],
    ["network", "down"],
    ["fabric", "install"],
    ["fabric", "status"],
    ["chaincode", "measure"],
    ["chaincode", "package"],
    ["chaincode", "deploy"],
    ["chaincode", "upgrade"],
    ["host", "run"],
    ["host", "example"],
    ["host", "export"],
    ["ledger", "verify"],
    ["ledger", "run"],
    ["ledger", "status"],
    ["ledger", "suspects"],
    ["demo", "auction"],
    ["bench", "ledger"],
    ["registry", "list"],
    ["registry", "revoke"],
    ["upgrade", "approve"],
]


def cloister(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloister", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=lambda command: " ".join(command) or "cloister")
def test_every_command_explains_itself(command: list[str]) -> None:
    done = cloister(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: cloister")
    assert len(done.stdout.splitlines()) > 4
    assert done.stderr == ""


def test_help_lists_commands_and_exit_codes_without_importing_grpc() -> None:
    program = (
        "import sys; sys.argv = ['cloister', '--help']\n"
        "from cloister.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('grpc' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert "Exit codes: 0 done" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["network", "up", "--orgs", "none"], 2, "Invalid value for '--orgs'"),
        (["network", "up", "--orgs", "99"], 2, "organisations: expected 1 to 8, got 99"),
        (["network", "status", "--dir", "absent"], 2, "no network in absent"),
        (["submit", "auction", "create"], 2, "no network in cloister-network"),
        (["submit"], 2, "Missing argument 'CHAINCODE'"),
        (["submit", "--profile", "absent.json", "auction", "create"], 2, "--profile needs --msp-id"),
        (["host", "run", "--config", "absent.toml"], 7, "absent.toml: No such file"),
        (["ledger", "run", "--config", "absent.toml"], 7, "absent.toml: No such file"),
        (["ledger", "status"], 2, "no network in cloister-network"),
        (["chaincode", "measure", "absent.py"], 2, "contract: expected a Python file, got absent.py"),
        (["chaincode", "package", "--label", "a b", "--address", "x:1"], 2, "label: expected letters"),
    ],
)
def test_bad_input_is_one_clear_line_and_a_code(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = cloister(*arguments, cwd=tmp_path)
    assert done.returncode == code
    first = done.stderr.splitlines()[0]
    assert first.startswith("cloister: error: ")
    assert message in first
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_errors_as_json_for_machines(tmp_path: Path) -> None:
    done = cloister("network", "status", "--dir", "absent", "--json", cwd=tmp_path)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == error["exit_code"] == 2
    assert error["type"] == "NetworkNotThere"
    assert "cloister network up" in error["hint"]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in cloister("--debug", "network", "status", "--dir", "absent", cwd=tmp_path).stderr


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m cloister host example | head -c 1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_example_configurations_are_valid_ones(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(cloister("host", "example").stdout)
    assert load_host_config(path).chaincode == "auction"
    path.write_text(cloister("ledger", "example").stdout)
    assert load_ledger_config(path).channel == "mychannel"


def test_the_version_is_told() -> None:
    assert cloister("--version").stdout.startswith("cloister, version ")


def test_measuring_a_contract_is_the_same_every_time(tmp_path: Path) -> None:
    contract = tmp_path / "contract.py"
    contract.write_text("from cloister.contract import Contract\nclass A(Contract):\n    def f(self) -> None: ...\n")
    first, second = (cloister("chaincode", "measure", str(contract)).stdout for _ in range(2))
    assert first == second
    assert len(first.strip()) == 64
    as_json = json.loads(cloister("chaincode", "measure", "--json", str(contract)).stdout)
    assert as_json == {"kind": "simulation", "measurement": first.strip()}
    contract.write_text(contract.read_text() + "\n")
    assert cloister("chaincode", "measure", str(contract)).stdout != first
