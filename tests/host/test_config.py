"""`host.toml`: what is read, and what is refused with file, section and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed, UsageError
from cloister.host.config import EXAMPLE, load_host_config


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "host.toml"
    path.write_text(text)
    return path


def test_the_example_is_read_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    config = load_host_config(write(tmp_path, EXAMPLE))
    assert (config.msp_id, config.chaincode, config.registry) == ("Org1MSP", "auction", "registry")
    assert config.ledger == "127.0.0.1:7070"
    assert config.state == tmp_path / "enclave.sealed"
    assert config.authority == tmp_path / "authority.key"
    assert config.contract == str(tmp_path / "auction.py")
    assert config.tls_key == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('msp_id = "Org1MSP"', "", r"\[organisation\] msp_id: expected text"),
        ('msp_id = "Org1MSP"', "msp_id = 5", r"\[organisation\] msp_id: expected text"),
        ("[registry]", "[registrar]", r"section \[registry\] is missing"),
        ("msp_id =", "mspid =", r"\[organisation\] has an unknown key 'mspid'"),
        ('kind = "simulation"', 'kind = "sgx"', "kind: expected 'simulation', got 'sgx'"),
        ("[organisation]", "[organisation", "not TOML"),
        ("[registry]", "[extra]\nx = 1\n[registry]", r"unknown section \[extra\]"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_host_config(write(tmp_path, EXAMPLE.replace(old, new)))


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"absent\.toml: No such file"):
        load_host_config(tmp_path / "absent.toml")
