"""Real enclave processes: equal results whatever the hash seed, and a life that hosts cannot end by garbage."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed, MalformedInput
from cloister.fabric.proposal import compute_transaction_id
from cloister.host.errors import EnclaveLost, EnclaveRefused
from cloister.host.link import AskLedgerEnclave
from cloister.host.process import EnclaveCommand, EnclaveProcess, start_enclave
from cloister.trusted.protocol.key_set import KeySetDescriptor, parse_descriptor
from cloister.trusted.protocol.request import Request, seal_request
from cloister.wire.messages import (
    Activate,
    Answer,
    AskLedger,
    ConnectLedger,
    Exported,
    ExportKeys,
    GetStatus,
    ImportKeys,
    Invoke,
    KeysMade,
    LedgerConfirm,
    LedgerHello,
    LedgerReplied,
    LedgerWelcome,
    MakeKeys,
    Provisioned,
    Question,
    Result,
    Sealed,
    Status,
    ValueAnswer,
)
from cloister.wire.stream import MAX_FRAME_BYTES
from support.chain import LedgerDouble
from support.enclaves import AUTHORITY_SEED, ENDORSEMENTS, SAMPLES, Caller, World, make_ledger, provision_message

TRANSACTIONS = 300


def no_ledger(sealed: bytes) -> asyncio.Future[bytes]:
    """For enclaves that never come to ask."""
    raise AssertionError(sealed)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.key"
    path.write_bytes(AUTHORITY_SEED)
    return path


def asks(ledger: LedgerDouble) -> AskLedgerEnclave:
    """The way to a ledger enclave in the test's own process."""

    def ask(sealed: bytes) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        answer.set_result(ledger.reply(sealed))
        return answer

    return ask


@asynccontextmanager
async def enclave(
    authority: Path, ledger: LedgerDouble | None = None, hash_seed: str = "0", sample: str = "auction"
) -> AsyncIterator[EnclaveProcess]:
    command = EnclaveCommand(str(SAMPLES / f"{sample}.py"), authority, hash_seed)
    process = await start_enclave(command, asks(ledger or make_ledger()))
    try:
        yield process
    finally:
        await process.stop()


async def connect(process: EnclaveProcess, ledger: LedgerDouble, msp_id: str = "Org1MSP") -> Provisioned:
    """Provision an enclave of the committed definition and make its session."""
    provisioned = await process.link.ask(provision_message(msp_id))
    status = await process.link.ask(GetStatus())
    assert isinstance(provisioned, Provisioned)
    assert isinstance(status, Status)
    ledger.chain.definitions[1] = status.measurement
    hello = await process.link.ask(ConnectLedger())
    assert isinstance(hello, LedgerHello)
    responder = ledger.welcome(hello.hello)
    confirm = await process.link.ask(LedgerWelcome(responder.welcome))
    assert isinstance(confirm, LedgerConfirm)
    ledger.established(responder, confirm.confirm)
    return provisioned


async def first_keys(process: EnclaveProcess, ledger: LedgerDouble) -> KeysMade:
    """What the first organisation does."""
    await connect(process, ledger)
    made = await process.link.ask(MakeKeys())
    assert isinstance(made, KeysMade)
    ledger.chain.key_sets[1] = made.descriptor
    assert isinstance(await process.link.ask(Activate()), Sealed)
    return made


async def share_keys(first: EnclaveProcess, second: EnclaveProcess, ledger: LedgerDouble) -> KeySetDescriptor:
    made = await first_keys(first, ledger)
    provisioned = await connect(second, ledger, "Org2MSP")
    exported = await first.link.ask(ExportKeys(provisioned.evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    await second.link.ask(ImportKeys(exported.export, made.evidence, ENDORSEMENTS))
    return parse_descriptor(made.descriptor)


def signed_call(caller: Caller, descriptor: KeySetDescriptor, function: str, *arguments: str) -> bytes:
    nonce = os.urandom(24)
    request = Request(function, tuple(argument.encode() for argument in arguments), os.urandom(32))
    transaction_id = compute_transaction_id(nonce, caller.creator)
    sealed = seal_request(request, descriptor, transaction_id=transaction_id, creator=caller.creator)
    return caller.signed_proposal(sealed, nonce=nonce)


async def run(process: EnclaveProcess, world: World, signed: bytes) -> Result:
    async def answer(question: Question, ledger: asyncio.Future[bytes]) -> Answer:
        sealed = await ledger
        return LedgerReplied(sealed) if isinstance(question, AskLedger) else world.peer(question, sealed)

    result = await process.link.run(Invoke(signed), answer)
    assert isinstance(result, Result)
    return result


async def test_two_hash_seeds_endorse_byte_equal_results_over_random_transactions(authority: Path) -> None:
    """What both organisations' peers get must be equal to the last bit, or nothing would ever commit."""
    chooser = random.Random(20260101)
    world, caller = World(), Caller()
    ledger = world.ledger
    async with enclave(authority, ledger, "1") as first, enclave(authority, ledger, "4242") as second:
        descriptor = await share_keys(first, second, ledger)
        calls = [("init", ["house"])]
        for _ in range(TRANSACTIONS):
            auction, bidder = f"auction-{chooser.randrange(20)}", f"bidder-{chooser.randrange(9)}"
            bid = ("submit", [auction, bidder, str(chooser.randrange(1000))])
            bad_bid = ("submit", [auction, bidder, "not a number"])
            create, close, evaluate = ("create", [auction]), ("close", [auction]), ("eval", [auction])
            weighted = [*[create] * 4, *[bid] * 12, bad_bid, close, evaluate, ("nonsense", [bidder])]
            calls.append(chooser.choice(weighted))
        written = 0
        for function, arguments in calls:
            signed = signed_call(caller, descriptor, function, *arguments)
            results = await asyncio.gather(run(first, world, signed), run(second, world, signed))
            assert results[0] == results[1], function
            world.chain.commit(signed, results[0])
            written += len(results[0].puts)
        assert written > TRANSACTIONS // 4, "the random transactions must do something"


async def test_e1_garbage_costs_the_connection_and_not_the_enclave(authority: Path) -> None:
    async with enclave(authority) as process:
        before = await process.link.ask(GetStatus())
        assert isinstance(before, Status)
        port = process.port
        await process.link.close()
        for garbage in (b"\xff" * 64, b"\0\0\0\4abcd", b"\0\0\0", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        await process.reconnect()
        assert await process.link.ask(GetStatus()) == before


async def test_an_enclave_ends_when_its_host_does(authority: Path) -> None:
    async with enclave(authority) as process:
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_killed_enclave_is_an_error_and_not_a_hang(authority: Path) -> None:
    async with enclave(authority) as process:
        process.kill()
        with pytest.raises(EnclaveLost):
            await asyncio.wait_for(process.link.ask(GetStatus()), 10)
        assert not process.alive


async def test_a_wrong_contract_or_authority_is_one_clear_error(authority: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="expected a Python file"):
        await start_enclave(EnclaveCommand(str(tmp_path / "absent.py"), authority), no_ledger)
    with pytest.raises(EnvironmentFailed, match="No such file"):
        await start_enclave(EnclaveCommand(str(SAMPLES / "auction.py"), tmp_path / "absent.key"), no_ledger)
    broken = tmp_path / "broken.key"
    broken.write_bytes(b"short")
    with pytest.raises(EnvironmentFailed, match="expected 32 bytes"):
        await start_enclave(EnclaveCommand(str(SAMPLES / "auction.py"), broken), no_ledger)


async def test_e2_a_contract_that_reaches_outside_is_stopped(authority: Path, tmp_path: Path) -> None:
    """Imports are refused when the enclave starts; what hides from that is refused when it runs, and stays sealed."""
    contract = tmp_path / "leaky.py"
    contract.write_text("import socket\nfrom cloister.contract import Contract\nclass Leaky(Contract): ...\n")
    with pytest.raises(EnvironmentFailed, match="must not import socket"):
        await start_enclave(EnclaveCommand(str(contract), authority), no_ledger)
    contract.write_text("TABLE = open('/etc/hostname').read()\n")  # each host could give it something else
    with pytest.raises(EnvironmentFailed, match="files cannot be opened"):
        await start_enclave(EnclaveCommand(str(contract), authority), no_ledger)
    contract.write_text(
        "import logging\n"
        "from cloister.contract import Contract, TransactionContext\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "class Gone:\n"
        "    def __del__(self) -> None:\n"
        "        raise ValueError('plaintext')\n"
        "class Leaky(Contract):\n"
        "    async def leak(self, ctx: TransactionContext, path: str) -> str:\n"
        "        print('plaintext', path)\n"
        "        logging.getLogger().error('plaintext %s', path)\n"
        "        gone = Gone()\n"
        "        gone.itself = gone\n"
        "        open(path, 'w').write('plaintext')\n"
        "        return 'OK'\n"
    )
    target = tmp_path / "leak.txt"
    world = World()
    process = await start_enclave(EnclaveCommand(str(contract), authority), asks(world.ledger))
    try:
        made = await first_keys(process, world.ledger)
        signed = signed_call(Caller(), parse_descriptor(made.descriptor), "leak", str(target))
        result = await run(process, world, signed)
        assert result.puts == ()
        assert not target.exists()
    finally:
        said = await process.stop()
    assert b"plaintext" not in said


async def test_a_refusal_carries_a_reason_and_a_hint(authority: Path) -> None:
    async with enclave(authority) as process:
        with pytest.raises(EnclaveRefused) as caught:
            await process.link.ask(Invoke(b"x"))
    assert caught.value.reason == "not-initialised"
    assert caught.value.hint is not None
    assert "cloister init" in caught.value.hint


async def test_an_answer_that_fails_makes_the_enclave_forget_the_call(authority: Path) -> None:
    """The peer's error in the middle of an execution: the caller sees it, nothing is left behind in the enclave."""

    async def broken(question: Question, ledger: asyncio.Future[bytes]) -> Answer:
        raise ConnectionError("the peer is gone")

    async def too_large(question: Question, ledger: asyncio.Future[bytes]) -> Answer:
        return ValueAnswer(bytes(MAX_FRAME_BYTES), b"")

    world = World()
    async with enclave(authority, world.ledger) as process:
        made = await first_keys(process, world.ledger)
        descriptor = parse_descriptor(made.descriptor)
        with pytest.raises(ConnectionError):
            await process.link.run(Invoke(signed_call(Caller(), descriptor, "init", "house")), broken)
        with pytest.raises(MalformedInput):
            await process.link.run(Invoke(signed_call(Caller(), descriptor, "init", "house")), too_large)
        assert (await run(process, world, signed_call(Caller(), descriptor, "init", "house"))).puts


async def test_an_enclave_that_says_nothing_counts_as_lost(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with enclave(authority) as process:
        os.kill(process.pid, signal.SIGSTOP)
        monkeypatch.setattr("cloister.host.link.REPLY_TIMEOUT_S", 0.2)
        try:
            with pytest.raises(EnclaveLost, match="no answer"):
                await process.link.ask(GetStatus())
            assert not process.alive
        finally:
            os.kill(process.pid, signal.SIGCONT)
