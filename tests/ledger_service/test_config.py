"""`ledger.toml`: what is read, and what is refused with file, section and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed, UsageError
from cloister.ledger_service.config import EXAMPLE, load_ledger_config


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    return path


def test_the_example_is_read_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    config = load_ledger_config(write(tmp_path, EXAMPLE))
    assert (config.msp_id, config.channel, config.registry) == ("Org1MSP", "mychannel", "registry")
    assert config.listen == ("127.0.0.1", 7070)
    assert config.genesis == tmp_path / "genesis.block"
    assert config.state == tmp_path / "ledger-state"
    assert config.orderers.addresses == ("orderer.example.com:7050", "orderer2.example.com:7050")
    assert config.orderers.tls_ca == tmp_path / "orderer-tls-ca.pem"
    assert config.orderers.tls_certificate is None


def test_orderers_without_tls_and_with_mutual_tls(tmp_path: Path) -> None:
    plain = EXAMPLE.replace("tls_ca = ", "# tls_ca = ")
    assert load_ledger_config(write(tmp_path, plain)).orderers.tls_ca is None
    mutual = EXAMPLE.replace("[enclave]", 'tls_certificate = "c.pem"\ntls_key = "/k.pem"\n[enclave]')
    orderers = load_ledger_config(write(tmp_path, mutual)).orderers
    assert (orderers.tls_certificate, orderers.tls_key) == (tmp_path / "c.pem", Path("/k.pem"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('msp_id = "Org1MSP"', "", r"\[organisation\] msp_id: expected text"),
        ('name = "mychannel"', "name = 5", r"\[channel\] name: expected text"),
        ("[registry]", "[registrar]", r"unknown section \[registrar\]"),
        ('[registry]\nname = "registry"', "", r"section \[registry\] is missing"),
        ("genesis =", "genesys =", r"\[channel\] has an unknown key 'genesys'"),
        ('kind = "simulation"', 'kind = "sgx"', "kind: expected 'simulation', got 'sgx'"),
        ("[organisation]", "[organisation", "not TOML"),
        ("orderer.example.com:7050", "orderer.example.com", r"\[orderers\] addresses: expected a list of host:port"),
        ("orderer.example.com:7050", ":7050", r"\[orderers\] addresses: expected a list of host:port"),
        ("orderer.example.com:7050", "orderer:99999", r"\[orderers\] addresses: expected a list of host:port"),
        ("addresses = [", "addresses = []\nothers = [", r"\[orderers\] addresses: expected a list of host:port"),
        ("[enclave]", 'tls_key = "k.pem"\n[enclave]', "tls_certificate and tls_key: expected both"),
        ("127.0.0.1:7070", "0.0.0.0:7070", r"listen: expected 127.0.0.1:PORT, got '0.0.0.0:7070'"),
        ("127.0.0.1:7070", "127.0.0.1", r"listen: expected 127.0.0.1:PORT, got '127.0.0.1'"),
        ("127.0.0.1:7070", "127.0.0.1:70700", r"listen: expected 127.0.0.1:PORT, got '127.0.0.1:70700'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(UsageError, match=message):
        load_ledger_config(write(tmp_path, EXAMPLE.replace(old, new, 1)))


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"absent\.toml: No such file"):
        load_ledger_config(tmp_path / "absent.toml")
