"""One execution's view of the state: reads are opened and recorded, writes are kept until the end.

Trust level: trusted. As in Fabric, reads see committed state only, never the execution's own writes; the last write to
a key wins; an empty value is a delete (Fabric 2.5.9 core/ledger/kvledger/txmgmt/rwsetutil/rwset_builder.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from cloister.errors import MalformedInput, Refused
from cloister.trusted.protocol.reads import MetadataWrite, Write, reads_digest
from cloister.trusted.protocol.sealing import SealedHeader, ValueCipher, read_key_set_id
from cloister.wire.codec import MAX_ROWS
from cloister.wire.messages import RowsAnswer

from .ask import ExecutionAborted
from .checked_reads import Reads
from .names import KeyNames, encoded_key

MAX_STORED_PARAMETER_BYTES = 64 * 1024


Row = tuple[str, bytes]
"""One row of a range, opened: plain key and value."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in key order, and the peer's bookmark for the next page (empty: there is none)."""

    rows: tuple[Row, ...]
    bookmark: str


class _Unbroken:
    """Around each read: one that fails is the last, for a contract may catch everything.

    It must not go on with less than the truth while the host watches.
    """

    __slots__ = ("_failure",)

    def __init__(self) -> None:
        self._failure: BaseException | None = None

    def require(self) -> None:
        """Raises: what a read before has failed with."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> None:
        self.require()

    def __exit__(self, _kind: object, failure: BaseException | None, _trace: object) -> None:
        if failure is not None:
            self._failure = failure


class SealedState:
    """State of one chaincode through one execution. `ciphers`: by the ids of their key sets."""

    def __init__(self, *, ciphers: Mapping[bytes, ValueCipher], names: KeyNames, reads: Reads) -> None:
        self._ciphers = ciphers
        self._names = names
        self._reads = reads
        self._writes: dict[str, tuple[str, bytes]] = {}
        self._parameters: dict[str, bytes] = {}
        self._unbroken = _Unbroken()

    # --- reads ------------------------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """The committed value of a plain key, or None. Raises: MalformedInput (key); ExecutionAborted."""
        stored = self._names.stored(key)
        with self._unbroken:
            value = await self._reads.value(stored)
            if value is None:
                return None
            found, opened = self._open(stored, value)
            if found != key:
                raise ExecutionAborted("integrity")
            return opened

    async def get_parameter(self, key: str) -> bytes | None:
        """The committed endorsement parameter of a plain key (serialised SignaturePolicyEnvelope), or None."""
        stored = self._names.stored(key)
        with self._unbroken:
            return await self._reads.parameter(stored)

    async def partial(self, object_type: str, parts: Sequence[str]) -> tuple[Row, ...]:
        """All rows under a partial composite key, complete, sorted by plain name (UTF-8 order)."""
        page = await self._range(*self._names.stored_prefix(object_type, parts), limit=0, bookmark="")
        return tuple(sorted(page.rows, key=itemgetter(0)))  # Python orders text as its UTF-8 bytes

    async def range(self, start: str, end: str) -> tuple[Row, ...]:
        """All rows of [start, end) in a clear key space. Raises: MalformedInput if it is not in one."""
        return (await self._range(*self._names.stored_range(start, end), limit=0, bookmark="")).rows

    async def page(self, start: str, end: str, limit: int, bookmark: str) -> Page:
        """One page of at most `limit` rows of [start, end) in a clear key space, for queries only."""
        if limit < 1:
            raise MalformedInput(f"page size: expected 1 or more, got {limit}", field="page size")
        return await self._range(*self._names.stored_range(start, end), limit=limit, bookmark=bookmark)

    async def _range(self, start: str, end: str, *, limit: int, bookmark: str) -> Page:
        if bookmark and not start.encode() <= encoded_key(bookmark) < end.encode():
            # A peer begins there, wherever it is: it may come from the caller, and lead to rows not meant for them.
            raise MalformedInput("page: the bookmark lies outside the range", field="bookmark")
        with self._unbroken:
            answer = await self._reads.rows(start, end, limit, bookmark)
            _check_rows(answer.rows, bookmark or start, end, limit or MAX_ROWS)
            if limit:
                _check_end(answer, end)
            opened = tuple([self._open(key, value) for key, value in answer.rows])
        return Page(opened, answer.bookmark if limit else "")

    def require_unbroken(self) -> None:
        """No read has failed, whatever the contract made of that. Raises: what it failed with."""
        self._unbroken.require()

    def _open(self, stored: str, sealed: bytes) -> Row:
        try:
            cipher = self._ciphers.get(read_key_set_id(sealed))
            if cipher is None:
                raise ExecutionAborted("integrity")
            return cipher.open(sealed, stored_key=stored)
        except Refused as error:
            raise ExecutionAborted(error.reason) from error

    # --- writes -----------------------------------------------------------------------------------------------------

    def put(self, key: str, value: bytes) -> None:
        """Write a plain key at the end of the execution. Raises: MalformedInput (key)."""
        self._writes[self._names.stored(key)] = (key, value)

    def delete(self, key: str) -> None:
        """Delete a plain key at the end of the execution. Raises: MalformedInput (key)."""
        self._writes[self._names.stored(key)] = (key, b"")

    def put_parameter(self, key: str, parameter: bytes) -> None:
        """Set a key's endorsement parameter at the end. It is public: peers must evaluate it."""
        if len(parameter) > MAX_STORED_PARAMETER_BYTES:
            raise MalformedInput("endorsement parameter: too long", field="endorsement parameter")
        self._parameters[self._names.stored(key)] = parameter

    # --- repair -----------------------------------------------------------------------------------------------------

    def restore(self, stored: str, sealed: bytes) -> None:
        """Write a sealed value of this stored key again, under its own plain name. Aborts if it does not open."""
        self._writes[stored] = self._open(stored, sealed)

    def delete_stored(self, stored: str) -> None:
        """Delete a key by its stored name."""
        self._writes[stored] = ("", b"")

    def put_stored_parameter(self, stored: str, parameter: bytes) -> None:
        """Set the endorsement parameter of a key by its stored name; an empty one is none."""
        self._parameters[stored] = parameter

    # --- end --------------------------------------------------------------------------------------------------------

    @property
    def has_writes(self) -> bool:
        """True if anything would be written."""
        return bool(self._writes or self._parameters)

    def discard_writes(self) -> None:
        """Forget all writes: what an error outcome does."""
        self._writes.clear()
        self._parameters.clear()

    def reads_digest(self) -> bytes:
        """32 bytes over everything read so far."""
        return reads_digest(*self._reads.digest_parts())

    def sealed_writes(self, header: SealedHeader) -> tuple[Write, ...]:
        """All writes, sealed under the header's key set, sorted by stored key."""
        cipher = self._ciphers[header.key_set_id]
        return tuple(
            Write(stored, cipher.seal(header, stored_key=stored, key=key, value=value) if value else None)
            for stored, (key, value) in sorted(self._writes.items())
        )

    def parameter_writes(self) -> tuple[MetadataWrite, ...]:
        """All endorsement parameters to be set, sorted by stored key."""
        return tuple(MetadataWrite(key, parameter) for key, parameter in sorted(self._parameters.items()))


def _check_end(answer: RowsAnswer, end: str) -> None:
    """A page that is not the last one ends behind its last row and before the end of the range."""
    if answer.bookmark and not answer.rows[-1][0].encode() < answer.bookmark.encode() < end.encode():
        raise ExecutionAborted("integrity")


def _check_rows(rows: tuple[tuple[str, bytes], ...], start: str, end: str, limit: int) -> None:
    """Rows must lie inside the bounds in strictly ascending UTF-8 order, none doubled, none empty, not too many.

    Python orders text by code points, which is the order of its UTF-8 bytes.
    """
    if len(rows) > limit or (rows and rows[0][0] < start):
        raise ExecutionAborted("integrity")
    previous = ""
    for key, value in rows:
        if not previous < key < end or not value:
            raise ExecutionAborted("integrity")
        previous = key
