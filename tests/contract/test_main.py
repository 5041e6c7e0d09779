from __future__ import annotations

from pathlib import Path

import pytest

from cloister.contract.__main__ import main

CONTRACT = "cloister.samples.echo"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHAINCODE_ID", "CORE_CHAINCODE_ID_NAME", "CHAINCODE_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "chaincode id missing"),
        (["--chaincode-id", "id"], 2, "server address missing"),
        (["--chaincode-id", "id", "--address", "here"], 2, "address refused: expected host:port, got 'here'"),
        (["--chaincode-id", "id", "--address", "127.0.0.1:0", "--tls-key", "k"], 2, "TLS is incomplete"),
        (
            ["--chaincode-id", "id", "--address", "127.0.0.1:0", "--tls-key", "no-file", "--tls-certificate", "c"],
            7,
            "TLS file no-file cannot be read: No such file or directory",
        ),
    ],
)
def test_bad_options_are_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert main(["--contract", CONTRACT, *options]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert captured.out == ""


def test_a_contract_that_does_not_load_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name")
    assert main(["--contract", str(path), "--chaincode-id", "id", "--address", "127.0.0.1:0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
