"""Single steps on their own: cryptography, frames, enclaves in this process and in their own, start and memory.

What runs here is the real code of both enclaves on a channel made in this process (`cloister.testing`): no peer, no
orderer, no other process disturbs it. Every figure is the median over rounds, with lowest and highest: load that comes
and goes moves the highest.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloister import samples
from cloister.host.link import no_answer
from cloister.host.process import EnclaveCommand, start_enclave
from cloister.ledger_service.enclave import start_ledger_enclave
from cloister.testing.confidential import ConfidentialChannel
from cloister.trusted.protocol.hpke import SEED_BYTES, HpkeKey, seal_to
from cloister.trusted.protocol.sealing import Place, SealedHeader, ValueCipher
from cloister.wire.ledger_messages import NextBlocks, SessionQuestion, StartLedger
from cloister.wire.messages import GetStatus

from .figures import Figure, figure
from .memory import Memory, measure_memory

_PLACE = Place(bytes(32), "channel", "chaincode")
_HEADER = SealedHeader(bytes(32), "ab" * 32, bytes(32))
_CONTRACT = Path(samples.__file__).parent / "auction.py"
_AUTHORITY = bytes(range(32))
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MicroFigures:
    """`microseconds` of CPU or waiting by step; `milliseconds` of what happens once. See `STEPS` and `ONCE`."""

    rounds: int
    microseconds: dict[str, Figure]
    milliseconds: dict[str, Figure]
    memory: Memory


STEPS = {
    "seal_value_100": "seal a state value of 100 bytes",
    "open_value_100": "open it",
    "seal_value_4096": "seal a state value of 4096 bytes",
    "open_value_4096": "open it",
    "hpke_seal": "client: seal a request of 1 KiB (ML-KEM-768 + X25519)",
    "hpke_open": "enclave: open it",
    "p256_verify": "one ECDSA P-256 verification",
    "ed25519_sign": "one Ed25519 signature",
    "ed25519_verify": "one Ed25519 verification",
    "chaincode_enclave_call": "chaincode enclave: one bid, all its steps, in this process",
    "ledger_enclave_check": "ledger enclave: one sealed question about a read, in this process",
    "ledger_enclave_follow": "ledger enclave: judge and commit one transaction, one thread",
    "round_trip": "host to a running enclave and back, over loopback",
}
ONCE = {
    "start_chaincode_enclave": "start a chaincode enclave's process until it answers",
    "start_ledger_enclave": "start a ledger enclave's process with a genesis block until it answers",
    "attested_session": "appraise each other's evidence and agree on keys, in this process",
}


def bench_micro(*, rounds: int, calls: int, keys: int, progress: Progress) -> MicroFigures:
    """Measure all of STEPS and ONCE `rounds` times, each step over `calls` calls."""
    steps: dict[str, list[float]] = {name: [] for name in STEPS}
    once: dict[str, list[float]] = {name: [] for name in ONCE}
    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}: cryptography")
        _cryptography(steps, calls)
        progress(f"round {number} of {rounds}: enclaves in this process")
        channel = asyncio.run(_channel(steps, calls))
        once["attested_session"].append(_session(channel))
        progress(f"round {number} of {rounds}: enclaves in processes of their own")
        asyncio.run(_processes(steps, once, channel, calls))
    progress(f"memory of {keys} keys")
    return MicroFigures(
        rounds,
        {name: figure([1e6 * value for value in values]) for name, values in steps.items()},
        {name: figure([1e3 * value for value in values]) for name, values in once.items()},
        measure_memory(keys),
    )


def _cryptography(steps: dict[str, list[float]], calls: int) -> None:
    def note(name: str, call: Callable[[], object]) -> None:
        steps[name].append(_seconds(call, calls))

    for size in (100, 4096):
        value, cipher = bytes(size), ValueCipher(bytes(32), _PLACE)
        sealed = cipher.seal(_HEADER, stored_key="k", key="key", value=value)
        seal = functools.partial(cipher.seal, _HEADER, stored_key="k", key="key", value=value)
        note(f"seal_value_{size}", seal)
        note(f"open_value_{size}", functools.partial(cipher.open, sealed, stored_key="k"))
    key, message = HpkeKey(os.urandom(SEED_BYTES)), os.urandom(1024)
    request = seal_to(key.public_bytes, message, b"info")
    note("hpke_seal", lambda: seal_to(key.public_bytes, message, b"info"))
    note("hpke_open", lambda: key.open(request, b"info"))
    p256, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    public, signature = p256.public_key(), p256.sign(message, algorithm)
    note("p256_verify", lambda: public.verify(signature, message, algorithm))
    signer = Ed25519PrivateKey.generate()
    verifier, signed = signer.public_key(), signer.sign(message)
    note("ed25519_sign", lambda: signer.sign(message))
    note("ed25519_verify", lambda: verifier.verify(signed, message))


@dataclass
class _Clock:
    """CPU time of this thread spent in calls of some methods."""

    seconds: float = 0.0
    calls: int = 0

    def watch(self, holder: Any, name: str, *, only: type | None = None) -> None:
        """From now on, measure a method; with `only`, when its last argument is of that type."""
        method = getattr(holder, name)

        def measured(*arguments: Any) -> Any:
            if only is not None and not isinstance(arguments[-1], only):
                return method(*arguments)
            begun = time.thread_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.thread_time() - begun
                self.calls += 1

        setattr(holder, name, measured)


async def _channel(steps: dict[str, list[float]], calls: int) -> ConfidentialChannel:
    """Bids on a channel in this process, one block each; CPU time by who spends it."""
    channel = ConfidentialChannel(str(_CONTRACT))
    client = channel.client("ann")
    await client.submit("init", "house")
    await client.submit("create", "spring")
    await client.submit("submit", "spring", "before", "1")
    enclaves, checks, follows = _Clock(), _Clock(), _Clock()
    for host in channel.hosts:
        host.keep_executions = False
        enclaves.watch(host.enclave, "handle")
    checks.watch(channel.ledger, "call", only=SessionQuestion)
    follows.watch(channel.ledger, "call", only=NextBlocks)
    contract = await client.contract()
    for number in range(calls):
        await contract.commit("submit", "spring", f"bidder{number}", "5")
    per_call = len(channel.hosts) * calls
    steps["chaincode_enclave_call"].append(enclaves.seconds / per_call)
    steps["ledger_enclave_check"].append(checks.seconds / checks.calls)
    steps["ledger_enclave_follow"].append(follows.seconds / calls)
    return channel


def _session(channel: ConfidentialChannel) -> float:
    """One handshake of a chaincode enclave with the ledger enclave."""
    host = channel.hosts[0]
    begun = time.perf_counter()
    host.connect()
    return time.perf_counter() - begun


async def _processes(
    steps: dict[str, list[float]], once: dict[str, list[float]], channel: ConfidentialChannel, calls: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="cloister-micro-") as folder:
        authority = Path(folder) / "authority.key"
        authority.write_bytes(_AUTHORITY)
        begun = time.perf_counter()
        enclave = await start_enclave(EnclaveCommand(str(_CONTRACT), authority), lambda _: no_answer())
        try:
            await enclave.link.ask(GetStatus())
            once["start_chaincode_enclave"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            for _ in range(calls):
                await enclave.link.ask(GetStatus())
            steps["round_trip"].append((time.perf_counter() - begun) / calls)
        finally:
            await enclave.stop()
        start = StartLedger(channel.forged.blocks[0], "Org1MSP", channel.policy.encode(), channel.registry)
        begun = time.perf_counter()
        ledger = await start_ledger_enclave(start, (), channel=channel.name, authority=authority)
        await ledger.status()
        once["start_ledger_enclave"].append(time.perf_counter() - begun)
        await ledger.stop()


def _seconds(call: Callable[[], object], calls: int) -> float:
    """Per call."""
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begun) / calls
