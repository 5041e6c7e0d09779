"""The same contract on `fabric-chaincode-python`'s server and, with its import line changed, on ours: equal results."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from cloister.fabric.identity import SerializedIdentity
from cloister.fabric.proposal import build_proposal, encode_signed_proposal
from support.certificates import make_identity
from support.memory_ledger import MemoryLedger
from support.official_calls import CALLS, official_command, served, with_changed_import
from support.simulated_peer import SimulatedPeer


def make_proposal(arguments: tuple[str, ...], number: int) -> bytes:
    _, certificate = make_identity("user")
    creator = SerializedIdentity("Org1MSP", certificate.public_bytes(Encoding.PEM)).encode()
    proposal = build_proposal(
        channel="channel",
        chaincode="cc",
        arguments=[argument.encode() for argument in arguments],
        creator=creator,
        nonce=number.to_bytes(24, "big"),
        timestamp_ns=1_700_000_000_000_000_000 + number,
    )
    return encode_signed_proposal(proposal.encoded, b"signature")


async def run_all(address: str, timeout_s: float = 10.0) -> tuple[list[tuple[int, str, bytes]], dict[Any, Any]]:
    ledger = MemoryLedger()
    outcomes = []
    async with SimulatedPeer(address, ledger, timeout_s=timeout_s) as peer:
        for number, arguments in enumerate(CALLS):
            response, _ = await peer.run(f"tx{number}", arguments, proposal=make_proposal(arguments, number))
            outcomes.append((response.status, response.message, response.payload))
    return outcomes, ledger.state


async def run_all_patiently(address: str) -> tuple[list[tuple[int, str, bytes]], dict[Any, Any]]:
    """The official server now and then loses a message (it lets writes on its stream overlap): then all anew."""
    for _ in range(4):
        with contextlib.suppress(TimeoutError):
            return await run_all(address, timeout_s=3.0)
    return await run_all(address)


async def test_both_servers_answer_alike_and_write_alike(tmp_path: Path) -> None:
    official_log, our_log = tmp_path / "official.log", tmp_path / "ours.log"
    with served(official_command(), "label:hash", official_log) as address:
        official, official_state = await run_all_patiently(address)
    with served([str(with_changed_import(tmp_path))], "label:hash", our_log) as address:
        ours, our_state = await run_all(address)
    for arguments, expected, got in zip(CALLS, official, ours, strict=True):
        assert (arguments, got[0], got[2]) == (arguments, expected[0], expected[2])
        # Of arguments that do not fit, each server speaks in its own words.
        if expected[1].startswith(("asset", "an error", "refused", "no such", "Blank", "Function", "Contract")):
            assert got[1] == expected[1]
    assert our_state == official_state
    assert sum(status < 400 for status, _, _ in ours) > 25


async def test_the_module_entry_point_serves_the_same(tmp_path: Path) -> None:
    contract = str(with_changed_import(tmp_path))
    command = ["-m", "cloister.contract", "--contract", contract]
    log = tmp_path / "ours.log"
    with served(command, "label:hash", log) as address:
        async with SimulatedPeer(address, MemoryLedger()) as peer:
            assert (await peer.run("1", ["other:greet", "you"]))[0].payload == b"hello you"
            assert peer.chaincode_id == "label:hash"
    assert "Traceback" not in log.read_text()


async def test_sigterm_ends_the_server_cleanly_also_with_a_peer_connected(tmp_path: Path) -> None:
    log = tmp_path / "ours.log"
    with served([str(with_changed_import(tmp_path))], "label:hash", log) as address:
        peer = SimulatedPeer(address, MemoryLedger())
        await peer.connect()
        assert (await peer.run("1", ["other:greet", "you"]))[0].status == 200
    await peer.close()
    assert "chaincode server stops" in log.read_text()
    assert "Traceback" not in log.read_text()
