"""Material and genesis block made in Python: what Fabric's own tools would have made."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from cloister.embedded.genesis import channel_group, make_genesis_block
from cloister.embedded.material import PURPOSE, generate_material
from cloister.fabric.block import parse_block
from cloister.network import Network, embedded_options
from cloister.network.channel_configuration import channel_config
from cloister.network.layout import Layout, make_layout, ports_needed
from cloister.testing.configs import config_of
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.judge import start


def made(folder: Path) -> Layout:
    options = embedded_options()
    layout = make_layout(folder, options, "2.5.9", list(range(20000, 20000 + ports_needed(options))))
    generate_material(layout)
    return layout


def test_the_channel_group_is_what_configtxgen_makes_of_the_same_profile(fabric_network: Network) -> None:
    block = parse_block(fabric_network.genesis_block_path.read_bytes())
    real = config_of(block.transactions[0]).channel_group
    ours = channel_group(channel_config(fabric_network.layout)["Profiles"]["Channel"])
    assert ours == real
    assert ours.ByteSize() > 10_000


def test_the_folders_are_those_of_cryptogen(fabric_network: Network, tmp_path: Path) -> None:
    layout = made(tmp_path)

    def files(folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert files(layout.folder / "crypto") == files(fabric_network.folder / "crypto")


def test_the_judge_starts_from_the_genesis_block(tmp_path: Path) -> None:
    judge, verdict = start(make_genesis_block(made(tmp_path)))
    assert verdict.codes == (Code.VALID,)
    assert set(judge.config.organizations) == {"Org1MSP", "Org2MSP"}


def test_every_certificate_says_that_it_is_not_for_production(tmp_path: Path) -> None:
    paths = [path for path in made(tmp_path).folder.rglob("*") if path.suffix in (".pem", ".crt")]
    assert len(paths) > 40
    for path in paths:
        subject = x509.load_pem_x509_certificate(path.read_bytes()).subject
        assert [item.value for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == [PURPOSE]
    assert "NOT FOR PRODUCTION" in PURPOSE
