"""Searching everything a network wrote for plaintext: block files, databases, write-ahead logs, logs, sealed files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a plaintext stands: file relative to the searched folder, byte offset, and what it is."""

    file: str
    offset: int
    what: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """All hits, ordered by file and offset, and how much was looked through."""

    hits: tuple[Hit, ...]
    files: int
    bytes_searched: int


def search_folder(folder: Path, needles: Mapping[str, bytes]) -> SearchResult:
    """Look for every needle in every regular file below the folder, byte for byte."""
    hits: list[Hit] = []
    files = total = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        files += 1
        total += path.stat().st_size
        name = path.relative_to(folder).as_posix()
        hits.extend(Hit(name, offset, what) for offset, what in _search_file(path, needles))
    return SearchResult(tuple(hits), files, total)


def _search_file(path: Path, needles: Mapping[str, bytes]) -> list[tuple[int, str]]:
    """(offset, what) of every occurrence. Read in pieces that overlap, so that none is missed between two."""
    overlap = max(map(len, needles.values()), default=1) - 1
    found: set[tuple[int, str]] = set()
    position, tail = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            window = tail + chunk
            start = position - len(tail)
            for what, needle in needles.items():
                found.update((start + offset, what) for offset in _occurrences(window, needle))
            position += len(chunk)
            tail = window[max(0, len(window) - overlap) :]
    return sorted(found)


def _occurrences(window: bytes, needle: bytes) -> Iterator[int]:
    offset = window.find(needle)
    while offset >= 0:
        yield offset
        offset = window.find(needle, offset + 1)
