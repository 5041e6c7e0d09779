from __future__ import annotations

import pytest
from fabric_protos.peer import chaincode_shim_pb2 as shim
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract.server import messages
from cloister.contract.server.errors import StreamViolated
from cloister.contract.server.messages import Kind, WriteRecord, decode_batch_size, write_batches


@pytest.mark.parametrize(
    ("payload", "size"),
    [
        ("", 0),  # Fabric 2.5
        ("080110e807180120e807", 1000),  # Fabric 3.1.5 as configured by its sample
        ("10e807180120e807", 0),  # batches switched off
        ("0801", 0),
        ("080110ffffffffffffffffff01", 2**64 - 1),
        ("0a0101120101", 0),  # fields of another kind
    ],
)
def test_a_peer_says_how_many_writes_it_takes_at_a_time(payload: str, size: int) -> None:
    assert decode_batch_size(bytes.fromhex(payload)) == size


@given(st.binary())
def test_any_parameters_are_understood_or_violate(payload: bytes) -> None:
    try:
        assert decode_batch_size(payload) >= 0
    except StreamViolated:
        return


@given(st.lists(st.binary(max_size=40)), st.integers(1, 5), st.integers(1, 100))
def test_batches_hold_every_write_in_its_order_and_are_bounded(
    values: list[bytes], at_a_time: int, largest: int
) -> None:
    records = [WriteRecord(type=WriteRecord.PUT_STATE, key="k", value=value) for value in values]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "MAX_BATCH_BYTES", largest)
        requests = list(write_batches(records, at_a_time))
    batches = [shim.WriteBatchState.FromString(payload).rec for _, payload in requests]
    assert all(kind == Kind.WRITE_BATCH_STATE for kind, _ in requests)
    assert [record for batch in batches for record in batch] == records
    for batch in batches:
        assert 0 < len(batch) <= at_a_time
        assert len(batch) == 1 or sum(record.ByteSize() for record in batch) <= largest
