"""`cloister chaincode`: measure, package, deploy, upgrade."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from cloister.errors import EnvironmentFailed

from .network import as_json, directory
from .presentation import print_json, silent, tell, warn_simulation
from .target import read_file


@click.group()
def chaincode() -> None:
    """Measure, package, deploy and upgrade chaincode."""


@chaincode.command()
@as_json
@click.argument("contract")
def measure(*, as_json: bool, contract: str) -> None:
    """Print the measurement of CONTRACT (FILE.py or FILE.py:Class): the definition's version, what clients pin.

    It covers the contract, all trusted code of this installation, and the versions of interpreter and libraries. All
    organisations must get the same one.
    """
    measurement = _measure(contract)
    if as_json:
        print_json({"measurement": measurement, "kind": "simulation"})
    else:
        click.echo(measurement)


@chaincode.command()
@click.option("--label", required=True, help="Label of the package, for instance auction_1.")
@click.option("--address", required=True, help="host:port where this organisation's host or server will listen.")
@click.option("--tls-root", type=click.Path(path_type=Path), help="CA certificate, PEM: the peer dials with TLS.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write [default: LABEL.tar.gz].")
@as_json
@click.argument("contract", required=False)
def package(
    *, label: str, address: str, tls_root: Path | None, out: Path | None, as_json: bool, contract: str | None
) -> None:
    """Write a package for `peer lifecycle chaincode install`; with CONTRACT, print its measurement too.

    Then: install it, approve and commit with the measurement as --version, put the package id into host.toml, run
    `cloister host run`, and `cloister init` once at each organisation.
    """
    from cloister.lifecycle import compute_package_id, package_chaincode

    content = package_chaincode(label, address, tls_root_cert=read_file(tls_root) if tls_root else None)
    path = out or Path(f"{label}.tar.gz")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    facts = {"file": str(path), "package_id": compute_package_id(label, content)}
    if contract:
        facts["measurement"] = _measure(contract)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:12} {value}")


@chaincode.command()
@directory
@click.option("--name", required=True, help="Name of the chaincode.")
@click.option("--contract", required=True, help="FILE.py or FILE.py:Class.")
@click.option("--plain", is_flag=True, help="As ordinary chaincode: every peer sees everything.")
@click.option(
    "--signature-policy",
    default="",
    help="Endorsement policy, e.g. AND('Org1MSP.peer','Org2MSP.peer') [default: as deployed before].",
)
@as_json
def deploy(*, directory: Path, name: str, contract: str, plain: bool, signature_policy: str, as_json: bool) -> None:
    """Deploy a contract at every organisation of a network started with `cloister network up`.

    Confidential unless --plain: starts hosts and enclaves, installs, approves and commits with the measurement as
    version, and initialises every organisation's enclave. Deploying the same code again makes the next sequence; for
    other code there is `cloister chaincode upgrade`.
    """
    from cloister.deploy.deploy import Plan
    from cloister.deploy.deploy import deploy as run_deploy
    from cloister.network import Network

    plan = Plan(name, contract, confidential=not plain, signature_policy=signature_policy)
    network = Network.load(directory)
    done = asyncio.run(run_deploy(network, plan, progress=silent if as_json else tell))
    if as_json:
        print_json(asdict(done))
        return
    if done.confidential:
        warn_simulation()
    tell(f"{done.name} is deployed, sequence {done.sequence}")
    click.echo(f"version {done.version}")


@chaincode.command()
@directory
@click.option("--name", required=True, help="Name of the deployed chaincode.")
@click.option("--contract", required=True, help="The new code: FILE.py or FILE.py:Class.")
@click.option("--signature-policy", default="", help="Another endorsement policy [default: as it was deployed].")
@as_json
def upgrade(*, directory: Path, name: str, contract: str, signature_policy: str, as_json: bool) -> None:
    """Upgrade a confidential chaincode to other code, which goes on with its state.

    On a network started with `cloister network up`: starts hosts of the new code, approves as an administrator of every
    organisation, commits the new measurement, has the old enclaves hand their keys to the new ones, and stops the old
    hosts. From the commit on the old code's results count no more; for some seconds calls are refused. Interrupted at
    any point, the same command goes on from there. Elsewhere it takes several commands: docs/host.md, upgrades.
    """
    from cloister.deploy.upgrade import upgrade as run_upgrade
    from cloister.network import Network

    network = Network.load(directory)
    progress = silent if as_json else tell
    done = asyncio.run(run_upgrade(network, name, contract, signature_policy=signature_policy, progress=progress))
    if as_json:
        print_json(asdict(done))
        return
    warn_simulation()
    tell(f"{done.name} is upgraded, sequence {done.sequence}")
    click.echo(f"version {done.version}")


def _measure(contract: str) -> str:
    from cloister.trusted.attest.measurement import compute_measurement
    from cloister.trusted.chaincode.contract_image import contract_digest

    return compute_measurement(contract_digest(contract)).hex()
