"""Folders of blocks and snapshots as strangers may hand them in: their own errors, or what is in them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from fabric_protos.common import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import CloisterError, EnvironmentFailed, MalformedInput, UsageError
from cloister.ledger.snapshot import read_snapshot
from cloister.ledger.sources import open_source


def block(number: int) -> bytes:
    encoded: bytes = common_pb2.Block(header=common_pb2.BlockHeader(number=number)).SerializeToString()
    return encoded


def test_blocks_come_in_the_order_of_their_numbers_whatever_the_names(tmp_path: Path) -> None:
    for name, number in (("z", 0), ("a", 2), ("m", 1)):
        (tmp_path / f"{name}.block").write_bytes(block(number))
    assert list(open_source(tmp_path).blocks()) == [block(number) for number in range(3)]


def test_a_networks_folder_is_its_ledger_and_not_its_genesis_block(tmp_path: Path) -> None:
    (tmp_path / "genesis.block").write_bytes(block(0))
    assert not open_source(tmp_path).is_peer_ledger
    (tmp_path / "ledger" / "mychannel").mkdir(parents=True)
    (tmp_path / "ledger" / "mychannel" / "blockfile_000000").write_bytes(b"")
    assert open_source(tmp_path).folder.name == "mychannel"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed):
        open_source(tmp_path / "absent")
    with pytest.raises(UsageError, match="no blocks"):
        open_source(tmp_path)
    for channel in ("one", "two"):
        (tmp_path / channel).mkdir()
        (tmp_path / channel / "blockfile_000000").write_bytes(b"")
    with pytest.raises(UsageError, match="several ledgers: one, two"):
        open_source(tmp_path)
    assert open_source(tmp_path, "two").folder.name == "two"
    (tmp_path / "x.block").write_bytes(b"\xff")
    with pytest.raises(MalformedInput, match=r"x\.block"):
        list(open_source(tmp_path).blocks())


def test_ledgers_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for peer in ("peer1", "peer2"):
        (tmp_path / peer / "mychannel").mkdir(parents=True)
        (tmp_path / peer / "mychannel" / "blockfile_000000").write_bytes(b"")
    with pytest.raises(UsageError, match="several ledgers: peer1/mychannel, peer2/mychannel"):
        open_source(tmp_path, "mychannel")
    assert open_source(tmp_path / "peer2").folder.parent.name == "peer2"


@given(st.binary(max_size=200))
def test_any_block_file_is_read_or_refused(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "blockfile_000000").write_bytes(content)
        with contextlib.suppress(CloisterError):
            list(open_source(folder).blocks())


@given(st.binary(max_size=120), st.binary(max_size=40))
def test_any_snapshot_is_read_or_refused(data: bytes, counts: bytes) -> None:
    import tempfile

    about = {"channel_name": "c", "last_block_number": 1, "last_block_hash": "00"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "_snapshot_signable_metadata.json").write_text(json.dumps(about))
        (folder / "public_state.data").write_bytes(b"\x01" + data)
        (folder / "public_state.metadata").write_bytes(b"\x01" + counts)
        with contextlib.suppress(CloisterError):
            read_snapshot(folder)
