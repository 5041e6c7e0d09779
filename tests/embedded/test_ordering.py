"""The ordering service by itself: what it takes, how it cuts, what it leaves out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import common_pb2

from cloister.embedded.errors import BroadcastRefused
from cloister.embedded.ordering import batch_timeout
from cloister.fabric.block import parse_block
from cloister.network import embedded_options
from cloister.testing import configs
from cloister.testing.configs import update_envelope
from cloister.testing.forge import hashed_rwset
from cloister.testing.signers import orderer_admin
from cloister.trusted.ledger.codes import Code
from support.ordered import Ordered, ordering

LONG, SOON = "60s", "1ms"


async def test_blocks_are_cut_by_count_and_the_rest_by_time(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(max_messages=3, batch_timeout="1s")) as ordered:
        await ordered.send([ordered.cast.put(str(number)).build() for number in range(7)])
        assert await ordered.blocks(4) == [3, 3, 1]


async def test_a_block_is_not_cut_before_its_time(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(max_messages=3, batch_timeout=LONG)) as ordered:
        await ordered.send([ordered.cast.put(str(number)).build() for number in range(2)])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ordered.ledger.wait_for_block(1), 0.2)
        await ordered.send([ordered.cast.put("third").build()])
        assert await ordered.blocks(2) == [3]


async def test_blocks_are_cut_by_size(tmp_path: Path) -> None:
    megabyte = b"x" * (1 << 20)
    async with ordering(tmp_path, embedded_options(batch_timeout=LONG)) as ordered:
        await ordered.send([ordered.cast.put(str(number), megabyte).build() for number in range(4)])
        assert (await ordered.blocks(3))[:2] == [1, 1]  # two of them are above the preferred two megabytes


async def test_whoever_may_not_write_is_refused(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(batch_timeout=SOON)) as ordered:
        put = ordered.cast.put("k")
        for envelope, status in (
            (put.but(client=ordered.cast.peers[0]).build(), common_pb2.FORBIDDEN),
            (replace(put, channel="another").build(), common_pb2.NOT_FOUND),
            (b"\xff", common_pb2.BAD_REQUEST),
            (b"", common_pb2.NOT_FOUND),
            (put.but(header=_of_type(common_pb2.CONFIG)).build(), common_pb2.BAD_REQUEST),
            (put.but(header=_of_type(common_pb2.CONFIG_UPDATE)).build(), common_pb2.BAD_REQUEST),
        ):
            with pytest.raises(BroadcastRefused) as refused:
                await ordered.orderer.broadcast(envelope)
            assert refused.value.status == status
        await ordered.send([put.build()])  # its honest twin
        assert await ordered.blocks(2) == [1]


async def test_what_would_stop_real_peers_is_left_out_and_its_neighbours_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    undefined = hashed_rwset("main", "nowhere", writes=[("k", b"v")])
    async with ordering(tmp_path, embedded_options(max_messages=3, batch_timeout=LONG)) as ordered:
        stops = ordered.cast.draft(("main", undefined)).build()
        await ordered.send([ordered.cast.put("1").build(), stops, ordered.cast.put("2").build()])
        assert await ordered.blocks(2) == [2]
    assert "real peers would stop" in caplog.text


async def test_an_update_that_its_policy_allows_changes_the_configuration(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(batch_timeout=SOON)) as ordered:
        admin = orderer_admin(ordered.network)
        await ordered.send([_timeout_update(ordered, "7ms", admin)])
        assert await ordered.blocks(2) == [1]
        assert ordered.ledger.config.sequence == 1
        assert batch_timeout(ordered.ledger.config) == pytest.approx(0.007)
        assert ordered.ledger.config_block == 1
        await ordered.send([ordered.cast.put("afterwards").build()])
        assert await ordered.blocks(3) == [1, 1]


async def test_an_update_that_its_policy_does_not_allow_is_refused(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(batch_timeout=SOON)) as ordered:
        with pytest.raises(BroadcastRefused, match="error applying config update") as refused:
            await ordered.orderer.broadcast(_timeout_update(ordered, "7ms", ordered.cast.admins[0]))
        assert refused.value.status == common_pb2.BAD_REQUEST
        assert ordered.ledger.config.sequence == 0


async def test_a_repeated_transaction_is_ordered_and_marked(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(max_messages=2, batch_timeout=LONG)) as ordered:
        twin = ordered.cast.put("k").build()
        await ordered.send([twin, twin, twin, twin])
        assert await ordered.blocks(3) == [2, 2]
        codes = parse_block(ordered.ledger.block(2)).metadata[2]
        assert codes == bytes([Code.DUPLICATE_TXID, Code.DUPLICATE_TXID])


def _timeout_update(ordered: Ordered, value: str, signer: Any) -> bytes:
    config = configs.config_of(parse_block(ordered.ledger.genesis).transactions[0])
    return update_envelope(ordered.network.channel, config, ["Orderer"], configs.batch_timeout(value), [signer])


def _of_type(kind: int) -> Any:
    def bend(header: Any) -> None:
        header.type = kind

    return bend
