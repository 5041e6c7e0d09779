"""Checkpoints: exact, and whole after any interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.gateway import FileCheckpointer, InMemoryCheckpointer, Position


def test_a_dealt_with_block_leads_to_the_next_and_an_event_stays_in_its_block() -> None:
    checkpointer = InMemoryCheckpointer()
    assert checkpointer.position == Position(None, "")
    checkpointer.checkpoint_block(4)
    assert checkpointer.position == Position(5, "")
    checkpointer.checkpoint_transaction(6, "ab")
    assert checkpointer.position == Position(6, "ab")


@given(st.integers(min_value=0, max_value=2**63), st.text(max_size=70))
def test_a_file_gives_back_what_was_put_in(tmp_path_factory: pytest.TempPathFactory, number: int, name: str) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "file"
    FileCheckpointer(path).checkpoint_transaction(number, name)
    assert FileCheckpointer(path).position == Position(number, name)


def test_a_half_written_successor_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    FileCheckpointer(path).checkpoint_block(1)
    path.with_name("file.new").write_text('{"block_nu')
    assert FileCheckpointer(path).position == Position(2)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"block_number": -1, "transaction_id": ""}', '{"block_number": true, "transaction_id": ""}'],
)
def test_a_damaged_file_is_told_and_not_taken_for_a_beginning(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(MalformedInput):
        FileCheckpointer(path)
