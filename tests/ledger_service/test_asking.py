"""What hosts ask a ledger service, and what it takes from strangers on its port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput, UsageError
from cloister.fabric.block import parse_block
from cloister.ledger_service.client import open_ledger_service
from cloister.ledger_service.config import LedgerConfig
from cloister.ledger_service.errors import LedgerLost
from cloister.ledger_service.link import open_ledger_link
from cloister.ledger_service.messages import (
    REPLIES,
    REQUESTS,
    BlockFound,
    Document,
    EnclaveAt,
    FetchTransaction,
    FindEnclave,
    GetServiceStatus,
    GetSuspects,
    NotKnown,
    ServiceFailed,
    ServiceReply,
    ServiceRequest,
)
from cloister.network import Network
from cloister.network.processes import free_ports
from cloister.wire.ledger_messages import GetLedgerStatus, LedgerStatus
from cloister.wire.stream import wrap_frame
from ledger_service.conftest import BOUND_S, Running, add_transactions, chain_info, make_config, on_both, running

TEXT = st.text(max_size=80)
REQUESTED = st.one_of(
    st.builds(FindEnclave), st.builds(FetchTransaction, TEXT), st.builds(GetServiceStatus), st.builds(GetSuspects)
)
REPLIED = st.one_of(
    st.builds(EnclaveAt, st.integers(0, 65535)),
    st.builds(BlockFound, st.binary(max_size=200)),
    st.builds(NotKnown, st.integers(0, 2**64 - 1)),
    st.builds(Document, TEXT),
    st.builds(ServiceFailed, TEXT),
)


@given(REQUESTED, REPLIED)
def test_messages_come_back_as_they_were(request: ServiceRequest, reply: ServiceReply) -> None:
    assert REQUESTS.decode(REQUESTS.encode(request))[1] == request
    assert REPLIES.decode(REPLIES.encode(reply))[1] == reply


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(encoded: bytes) -> None:
    for codec in (REQUESTS, REPLIES):
        with suppress(MalformedInput):
            codec.decode(encoded)


@pytest.fixture(scope="module")
async def ledger(followed_network: Network, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A service that has caught up."""
    async with running(make_config(followed_network, tmp_path_factory.mktemp("asked"))) as ledger:
        await ledger.until(**await chain_info(followed_network))
        yield ledger


@pytest.mark.fabric
@on_both
async def test_the_block_of_a_transaction_is_found_new_or_old(followed_network: Network, config: LedgerConfig) -> None:
    (transaction_id,) = await add_transactions(followed_network, 1)
    info = await chain_info(followed_network)
    async with running(config) as ledger:
        await ledger.until(**info)
        recent = await ledger.client.fetch(transaction_id)
        assert recent is not None
        assert parse_block(recent).header_hash.hex() == info["block_hash"]
        assert transaction_id.encode() in recent
        assert await ledger.client.fetch("00" * 32) is None
        envelope = await ledger.client.fetch_envelope(transaction_id)
        assert envelope in parse_block(recent).transactions
        assert await ledger.client.fetch_envelope("00" * 32) is None
    async with running(config) as again:  # its memory is empty: the block comes from the orderer
        old = await again.client.fetch(transaction_id)
        assert await again.client.fetch_envelope(transaction_id) == old
    assert old is not None
    assert parse_block(old).header_hash == parse_block(recent).header_hash


@pytest.mark.fabric
async def test_it_leads_to_the_enclave(ledger: Running) -> None:
    link = await open_ledger_link(await ledger.client.enclave_port())
    status = await link.ask(GetLedgerStatus(), LedgerStatus)
    await link.close()
    assert status.measurement.hex() == (await ledger.client.status())["measurement"]


@pytest.mark.fabric
@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 8, wrap_frame(b""), wrap_frame(b"\x00" * 50), wrap_frame(b"x" * 10_000)],
    ids=["http", "too long", "empty", "zeros", "letters"],
)
async def test_a_malformed_frame_costs_its_connection_and_nothing_else(ledger: Running, garbage: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ledger.service.port)
    writer.write(garbage)
    assert await asyncio.wait_for(reader.read(), BOUND_S) == b""
    writer.close()
    assert (await ledger.client.status())["state"] == "following"


@pytest.mark.fabric
async def test_requests_in_pieces_and_several_at_once_are_answered_in_order(ledger: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ledger.service.port)
    requests = (FindEnclave(), FetchTransaction("00"), GetSuspects())
    for byte in b"".join(wrap_frame(REQUESTS.encode(request)) for request in requests):
        writer.write(bytes([byte]))
        await writer.drain()
    kinds = []
    for _ in requests:
        length = int.from_bytes(await asyncio.wait_for(reader.readexactly(4), BOUND_S), "big")
        kinds.append(type(REPLIES.decode(await reader.readexactly(length))[1]))
    writer.close()
    assert kinds == [EnclaveAt, NotKnown, Document]


@pytest.mark.fabric
async def test_a_question_given_up_leaves_no_reply_for_the_next_one(ledger: Running) -> None:
    client = await open_ledger_service(f"127.0.0.1:{ledger.service.port}")
    asking = asyncio.create_task(client.fetch("00" * 32))
    await asyncio.sleep(0)  # it has been sent
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert not client.alive
    with pytest.raises(LedgerLost):
        await client.enclave_port()


async def test_no_service_and_no_address_are_told() -> None:
    with pytest.raises(LedgerLost, match=r"ledger service not reachable at 127\.0\.0\.1:"):
        await open_ledger_service(f"127.0.0.1:{free_ports(1)[0]}")
    for address in ("localhost", "127.0.0.1:x", ""):
        with pytest.raises(UsageError, match="expected host:port"):
            await open_ledger_service(address)


async def test_a_service_that_ends_in_the_middle_of_a_reply_is_lost() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x00\x00\x00\x10abc")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        client = await open_ledger_service(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(LedgerLost, match="its connection broke"):
            await client.status()
        assert not client.alive
