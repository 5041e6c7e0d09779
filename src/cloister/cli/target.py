"""Where a command goes and as whom: a network of ours by folder, or any Fabric network by its connection profile."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloister.errors import EnvironmentFailed, MalformedInput, UsageError

if TYPE_CHECKING:
    from cloister.client.checkpoints import Checkpoints
    from cloister.client.credentials import Trust
    from cloister.client.pending import PendingCalls
    from cloister.gateway import Gateway, Identity, Signer

_F = TypeVar("_F", bound=Callable[..., Any])
DEFAULT_DIRECTORY = "cloister-network"
DEFAULT_REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Target:
    """Options as given; `directory` counts unless a connection profile is named."""

    directory: Path
    user: str
    profile: Path | None
    peer: str | None
    msp_id: str | None
    certificate: Path | None
    key: Path | None
    channel: str | None
    policy: Path | None
    measurements: tuple[str, ...]
    contract: str | None
    ledger: str | None
    genesis: str | None
    registry: str

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        """Connect. Raises: UsageError, EnvironmentFailed, MalformedInput, Refused (expired certificate)."""
        from cloister.gateway import connect, endpoint_from_profile

        identity, signer = self.identity()
        if self.profile is None:
            endpoint = endpoint_from_profile(self._network_user()[0].folder / "connection.json")
        else:
            endpoint = endpoint_from_profile(self.profile, self.peer)
        async with connect(endpoint, identity, signer) as gateway:
            yield gateway

    def identity(self) -> tuple[Identity, Signer]:
        """Who acts, and what signs. Raises: as `gateway`."""
        from cloister.gateway import load_identity, load_signer

        if self.profile is None:
            organisation, user = self._network_user()
            files = organisation.user(user)
            return load_identity(files.msp_id, files.cert_path), load_signer(files.key_path)
        if not (self.msp_id and self.certificate and self.key and self.channel):
            raise UsageError("--profile needs --msp-id, --cert, --key and --channel too")
        return load_identity(self.msp_id, self.certificate), load_signer(self.key)

    @property
    def channel_name(self) -> str:
        """The channel: as given, or the network's."""
        if self.channel:
            return self.channel
        from cloister.network import Network

        return Network.load(self.directory).channel

    def trust(self, chaincode: str) -> Trust:
        """What the client believes in: pins given on the command line, or those of our own network's folder."""
        if self.profile is None:
            from cloister.deploy.workspace import Workspace
            from cloister.network import Network

            return Workspace(Network.load(self.directory)).trust(chaincode, self.registry)
        from cloister.client.credentials import Trust
        from cloister.trusted.attest.policy import parse_policy

        if self.policy is None:
            raise UsageError("--policy FILE: your appraisal policy is needed", hint="see docs/client.md")
        return Trust(
            policy=parse_policy(read_file(self.policy)),
            genesis_hash=genesis_hash_of(self.genesis),
            measurements=measurements_of(self.measurements, self.contract),
            ledger_measurements=frozenset({self.ledger_measurement()}),
            registry=self.registry,
        )

    def genesis_hash(self) -> bytes:
        """Header hash of the channel's block 0: as given, or the network's."""
        if self.profile is None and self.genesis is None:
            from cloister.network import Network

            return genesis_hash_of(str(Network.load(self.directory).genesis_block_path))
        return genesis_hash_of(self.genesis)

    def ledger_measurement(self) -> bytes:
        """The ledger enclave's: as given, or that of this version of Cloister."""
        return ledger_measurement_of(self.ledger)

    def pending_calls(self) -> PendingCalls:
        """What opens the outcomes of this user's calls."""
        from cloister.client.pending import PendingCalls

        return PendingCalls(state_folder() / "calls")

    def checkpoints(self) -> Checkpoints:
        """Where this user's checkpoints are kept between runs."""
        from cloister.client.checkpoints import FileCheckpoints

        return FileCheckpoints(state_folder() / "checkpoints")

    def policy_bytes(self) -> bytes | None:
        """The appraisal policy's JSON, None if none is given."""
        if self.policy is not None:
            return read_file(self.policy)
        if self.profile is not None:
            return None
        from cloister.deploy.workspace import Workspace
        from cloister.network import Network

        return Workspace(Network.load(self.directory)).policy_path.read_bytes()

    def _network_user(self) -> tuple[Any, str]:
        from cloister.network import Network

        organisation, _, user = self.user.partition("/")
        return Network.load(self.directory).organisation(organisation), user or "User1"


def target_options(default_user: str) -> Callable[[_F], _F]:
    """Add the options; the command gets one `target`."""

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def wrapper(**options: Any) -> Any:
            names = Target.__dataclass_fields__
            values = {name: options.pop(name) for name in names}
            values["measurements"] = tuple(values["measurements"])
            return function(target=Target(**values), **options)

        wrapped: Any = wrapper
        for option in reversed(_options(default_user)):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate


def genesis_hash_of(genesis: str | None) -> bytes:
    """The header hash of block 0, given as file or hash. Raises: UsageError, MalformedInput, EnvironmentFailed."""
    from cloister.fabric.block import parse_block

    if genesis is None:
        raise UsageError(
            "--genesis FILE or HASH: the channel's block 0, or its header hash, is needed",
            hint="fetch it: peer channel fetch 0 genesis.block -c CHANNEL; compare the hash with other members",
        )
    if is_hash(genesis):
        return bytes.fromhex(genesis)
    block = parse_block(read_file(Path(genesis)))
    if block.number != 0:
        raise MalformedInput(f"{genesis}: expected block 0, got block {block.number}", field="genesis")
    return block.header_hash


def measurements_of(given: Sequence[str], contract: str | None) -> frozenset[bytes]:
    """Measurements given in hex, and that of a contract file. Raises: UsageError if there is none."""
    for measurement in given:
        if not is_hash(measurement):
            raise UsageError(f"--measurement: expected 64 hex digits, got {measurement!r}")
    found = {bytes.fromhex(measurement) for measurement in given}
    if contract:
        from cloister.trusted.attest.measurement import compute_measurement
        from cloister.trusted.chaincode.contract_image import contract_digest

        found.add(compute_measurement(contract_digest(contract)))
    if not found:
        raise UsageError(
            "--measurement HEX or --contract FILE.py: say which code you trust",
            hint="compute it from the contract: cloister chaincode measure FILE.py",
        )
    return frozenset(found)


def ledger_measurement_of(given: str | None) -> bytes:
    """The ledger enclave's: as given in hex, or that of this version of Cloister. Raises: UsageError."""
    from cloister.trusted.attest.measurement import compute_ledger_measurement

    if given is None:
        return compute_ledger_measurement()
    if not is_hash(given):
        raise UsageError(f"--ledger-measurement: expected 64 hex digits, got {given!r}")
    return bytes.fromhex(given)


def read_file(path: Path) -> bytes:
    """A file's content. Raises: EnvironmentFailed."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error


def state_folder() -> Path:
    """Where the client keeps what must survive: $CLOISTER_STATE, or the user's state folder (XDG)."""
    own = os.environ.get("CLOISTER_STATE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "cloister"


def is_hash(text: str) -> bool:
    """64 hex digits."""
    return len(text) == 64 and all(character in "0123456789abcdefABCDEF" for character in text)


def _options(default_user: str) -> list[Callable[[Any], Any]]:
    path = click.Path(path_type=Path)

    def option(*names: str, env: str, text: str, **more: Any) -> Callable[[Any], Any]:
        return click.option(*names, envvar=env, help=text, show_envvar=False, **more)

    return [
        option(
            "--dir",
            "directory",
            type=path,
            default=Path(DEFAULT_DIRECTORY),
            show_default=True,
            env="CLOISTER_NETWORK",
            text="Folder of a network started with `cloister network up`.",
        ),
        option(
            "--as",
            "user",
            default=default_user,
            show_default=True,
            env="CLOISTER_USER",
            text="ORG/USER of that network.",
        ),
        option("--profile", type=path, env="CLOISTER_PROFILE", text="Any other network: its connection profile."),
        option("--peer", env="CLOISTER_PEER", text="Peer in the profile (default: the first of one's own)."),
        option("--msp-id", env="CLOISTER_MSP_ID", text="With --profile: MSP ID of the identity."),
        option("--cert", "certificate", type=path, env="CLOISTER_CERT", text="With --profile: certificate, PEM."),
        option("--key", type=path, env="CLOISTER_KEY", text="With --profile: private key, PEM."),
        option("--channel", env="CLOISTER_CHANNEL", text="With --profile: the channel."),
        option("--policy", type=path, env="CLOISTER_POLICY", text="With --profile: your appraisal policy, JSON."),
        option(
            "--measurement",
            "measurements",
            multiple=True,
            env="CLOISTER_MEASUREMENT",
            text="With --profile: a measurement you trust, hex.",
        ),
        option("--contract", env="CLOISTER_CONTRACT", text="With --profile: or the contract that you trust, FILE.py."),
        option(
            "--ledger-measurement",
            "ledger",
            env="CLOISTER_LEDGER_MEASUREMENT",
            text="With --profile: the ledger enclave's measurement, hex (default: this version's own).",
        ),
        option("--genesis", env="CLOISTER_GENESIS", text="With --profile: the channel's block 0, file or header hash."),
        option(
            "--registry",
            default=DEFAULT_REGISTRY,
            show_default=True,
            env="CLOISTER_REGISTRY",
            text="Name of the enclave registry chaincode.",
        ),
    ]
