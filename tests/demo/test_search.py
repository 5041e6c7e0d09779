"""The search for plaintext finds what is there: also at the edge of two pieces, and every time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cloister.demo import search
from cloister.demo.search import Hit, search_folder


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(min_value=1, max_value=9))
def test_every_occurrence_is_found_however_the_file_is_read(before: bytes, after: bytes, chunk: int) -> None:
    needle = b"needle"
    content = before + needle + after
    expected = {offset for offset in range(len(content)) if content.startswith(needle, offset)}
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "file").write_bytes(content)
        whole = search._CHUNK_BYTES
        search._CHUNK_BYTES = chunk
        try:
            found = search_folder(Path(name), {"it": needle})
        finally:
            search._CHUNK_BYTES = whole
    assert {hit.offset for hit in found.hits} == expected


def test_hits_name_file_offset_and_what(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log").write_bytes(b"xx secret yy secret")
    (tmp_path / "empty").write_bytes(b"")
    found = search_folder(tmp_path, {"the secret": b"secret", "absent": b"nowhere"})
    assert found.hits == (Hit("a/log", 3, "the secret"), Hit("a/log", 13, "the secret"))
    assert (found.files, found.bytes_searched) == (2, 19)
