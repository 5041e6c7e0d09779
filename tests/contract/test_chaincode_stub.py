from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from typing import Any

import pytest

from cloister.contract import (
    ChaincodeStub,
    InvalidArgument,
    InvalidKey,
    Invocation,
    QueryIterator,
    Response,
    invocation_from_proposal,
)
from cloister.errors import MalformedInput
from cloister.fabric.identity import SerializedIdentity
from cloister.fabric.proposal import build_proposal, encode_signed_proposal
from support.calls import drive
from support.memory_ledger import PAGE, MemoryLedger


def make_stub(ledger: MemoryLedger | None = None, *arguments: bytes) -> ChaincodeStub:
    return ChaincodeStub(Invocation(arguments, "channel", "tx"), ledger if ledger is not None else MemoryLedger())


def filled(count: int) -> MemoryLedger:
    return MemoryLedger({("", f"k{number:04}"): b"v" for number in range(count)})


async def collect(iterator: QueryIterator[Any]) -> list[Any]:
    return [item async for item in iterator]


def keys_of(coroutine: Coroutine[Any, Any, QueryIterator[Any]]) -> list[str]:
    return [item.key for item in drive(collect(drive(coroutine)))]


def test_the_transaction_is_read_from_the_signed_proposal() -> None:
    creator = SerializedIdentity("Org1MSP", b"pem").encode()
    proposal = build_proposal(
        channel="channel",
        chaincode="cc",
        arguments=[b"f"],
        creator=creator,
        nonce=b"n" * 24,
        timestamp_ns=5_000_000_007,
        transient={"t": b"secret"},
    )
    signed = encode_signed_proposal(proposal.encoded, b"signature")
    invocation = invocation_from_proposal(
        signed, arguments=[b"g", b"1"], channel="other", transaction_id=proposal.transaction_id
    )
    stub = ChaincodeStub(invocation, MemoryLedger())
    assert stub.get_args() == [b"g", b"1"]
    assert stub.get_string_args() == ["g", "1"]
    assert stub.get_function_and_parameters() == ("g", ["1"])
    assert (stub.get_channel_id(), stub.get_txid()) == ("other", proposal.transaction_id)
    assert stub.get_creator() == {"mspid": "Org1MSP", "idBytes": b"pem"}
    assert stub.get_transient() == {"t": b"secret"}
    assert (stub.get_tx_timestamp().seconds, stub.get_tx_timestamp().nanos) == (5, 7)
    assert stub.get_binding() == hashlib.sha256(b"n" * 24 + creator + bytes(8)).digest()
    assert stub.get_signed_proposal().signature == b"signature"


def test_a_proposal_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedInput):
        invocation_from_proposal(b"\xff", arguments=[], channel="c", transaction_id="t")


def test_arguments_that_are_not_text_are_refused_as_text() -> None:
    with pytest.raises(InvalidArgument, match="argument 1 is not UTF-8"):
        make_stub(None, b"f", b"\xff").get_string_args()
    with pytest.raises(InvalidArgument):
        make_stub().get_function_and_parameters()


def test_reads_never_see_own_writes() -> None:
    ledger = MemoryLedger({("", "k"): b"old"})
    stub = make_stub(ledger)
    drive(stub.put_state("k", "new"))
    assert drive(stub.get_state("k")) == b"old"
    ledger.commit()
    assert drive(stub.get_state("k")) == b"new"
    drive(stub.del_state("k"))
    ledger.commit()
    assert drive(stub.get_state("k")) == b""


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 3 * PAGE + 5])
def test_ranges_of_any_size_are_complete_and_in_order(count: int) -> None:
    keys = keys_of(make_stub(filled(count)).get_state_by_range("", ""))
    assert keys == [f"k{number:04}" for number in range(count)]


def test_a_range_has_its_start_and_not_its_end() -> None:
    assert keys_of(make_stub(filled(9)).get_state_by_range("k0002", "k0004")) == ["k0002", "k0003"]


def test_pages_follow_one_another_by_bookmark() -> None:
    stub = make_stub(filled(5))
    first = drive(stub.get_state_by_range_with_pagination("", "", 3))
    assert first.metadata.fetched_records_count == 3
    second = drive(stub.get_state_by_range_with_pagination("", "", 3, first.metadata.bookmark))
    assert [item.key for item in drive(collect(first))] == ["k0000", "k0001", "k0002"]
    assert [item.key for item in drive(collect(second))] == ["k0003", "k0004"]
    assert second.metadata.bookmark == ""


@pytest.mark.parametrize("size", [0, -1, 2**31, "3", True])
def test_page_sizes_out_of_range_are_refused(size: Any) -> None:
    with pytest.raises(InvalidArgument):
        drive(make_stub().get_state_by_range_with_pagination("", "", size))


def test_partial_composite_queries_find_their_prefix_alone() -> None:
    ledger = MemoryLedger()
    stub = make_stub(ledger)
    for parts in (["a", "1"], ["a", "2"], ["ab", "1"]):
        drive(stub.put_state(stub.create_composite_key("type", parts), "v"))
    drive(stub.put_state("plain", "v"))
    ledger.commit()
    found = keys_of(stub.get_state_by_partial_composite_key("type", ["a"]))
    assert [stub.split_composite_key(key) for key in found] == [("type", ["a", "1"]), ("type", ["a", "2"])]
    paged = drive(stub.get_state_by_partial_composite_key_with_pagination("type", [], 2))
    assert len(drive(collect(paged))) == 2
    assert keys_of(stub.get_state_by_range("", "")) == ["plain"]


def test_an_iterator_can_be_taken_step_by_step_and_closed_early() -> None:
    ledger = filled(PAGE + 1)
    iterator = drive(make_stub(ledger).get_state_by_range("", ""))
    assert drive(iterator.next()).key == "k0000"
    assert iterator.has_next()
    drive(iterator.close())
    drive(iterator.aclose())
    assert not iterator.has_next()
    assert ledger.open_queries == {}
    with pytest.raises(StopAsyncIteration):
        drive(iterator.next())


def test_history_is_newest_first() -> None:
    ledger = MemoryLedger()
    stub = make_stub(ledger)
    for value in ("1", "2"):
        drive(stub.put_state("k", value))
        ledger.commit(f"tx{value}")
    drive(stub.delete_state("k"))
    ledger.commit("tx3")
    history = drive(collect(drive(stub.get_history_for_key("k"))))
    assert [(item.tx_id, item.value, item.is_delete) for item in history] == [
        ("tx3", b"", True),
        ("tx2", b"2", False),
        ("tx1", b"1", False),
    ]


def test_private_data_lies_apart_from_public_state() -> None:
    ledger = MemoryLedger()
    stub = make_stub(ledger)
    drive(stub.put_private_data("collection", "k", "private"))
    drive(stub.put_state("k", "public"))
    ledger.commit()
    assert drive(stub.get_private_data("collection", "k")) == b"private"
    assert drive(stub.get_state("k")) == b"public"
    assert drive(stub.get_private_data_hash("collection", "k")) == hashlib.sha256(b"private").digest()
    assert keys_of(stub.get_private_data_by_range("collection", "", "")) == ["k"]
    drive(stub.set_private_data_validation_parameter("collection", "k", b"policy"))
    assert drive(stub.get_private_data_validation_parameter("collection", "k")) == b"policy"
    drive(stub.delete_private_data("collection", "k"))
    ledger.commit()
    assert drive(stub.get_private_data("collection", "k")) == b""


@pytest.mark.parametrize("collection", ["", None])
def test_private_data_without_a_collection_is_refused(collection: Any) -> None:
    stub = make_stub()
    for coroutine in (
        stub.get_private_data(collection, "k"),
        stub.put_private_data(collection, "k", b"v"),
        stub.purge_private_data(collection, "k"),
        stub.get_private_data_by_partial_composite_key(collection, "t", []),
    ):
        with pytest.raises(InvalidArgument):
            drive(coroutine)


def test_a_key_s_own_endorsement_policy_can_be_set_and_read() -> None:
    stub = make_stub()
    assert drive(stub.get_state_validation_parameter("k")) == b""
    drive(stub.set_state_validation_parameter("k", b"policy"))
    assert drive(stub.get_state_validation_parameter("k")) == b"policy"


@pytest.mark.parametrize("value", [None, 5, ["a"]])
def test_values_that_are_neither_bytes_nor_text_are_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        drive(make_stub().put_state("k", value))


def test_empty_keys_are_refused() -> None:
    for coroutine in (make_stub().put_state("", b"v"), make_stub().get_state("")):
        with pytest.raises(InvalidKey):
            drive(coroutine)


def test_events_have_a_name_and_the_last_one_counts() -> None:
    ledger = MemoryLedger()
    stub = make_stub(ledger)
    stub.set_event("first", b"1")
    stub.set_event("second", "2")
    assert ledger.event == ("second", b"2")
    with pytest.raises(InvalidArgument):
        stub.set_event("", b"")


def test_another_chaincode_is_called_by_name_and_channel() -> None:
    ledger = MemoryLedger(chaincodes={"cc/other": lambda arguments: Response(200, "", b"|".join(arguments))})
    assert drive(make_stub(ledger).invoke_chaincode("cc", ["f", b"1"], "other")).payload == b"f|1"
