"""Lies in answers to an enclave's questions: rows A1 to A6, C11, E4 and P5 of the threat list."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from cloister.wire.messages import GetRange, GetState, RowsAnswer, ValueAnswer

from .attacks import Adversary
from .committed_state import Entry, Simulation, StateAnswer, StateQuestion
from .host import Execution

Rows = tuple[tuple[str, bytes], ...]


class _FalseValue(Adversary):
    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        if not isinstance(question, GetState) or not isinstance(honest, ValueAnswer):
            return honest
        lie = self.lie(question.key, honest.value, execution)
        if lie == honest.value or not self.strikes():
            return honest
        return replace(honest, value=lie)

    @abstractmethod
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        """Another value, or the same: nothing to attack."""

    def past(self, key: str, execution: Execution) -> list[Entry]:
        """What the key had up to the snapshot, oldest first."""
        return [item for item in self.channel.state.history(key) if item.height <= execution.simulation.height]

    def of_another_key(self, key: str, execution: Execution) -> bytes | None:
        """A genuine value that another key has, if there is one."""
        state, height = self.channel.state, execution.simulation.height
        entries = [state.value(other, height) for other in state.keys(height) if other != key]
        return next((item.value for item in entries if item is not None), None)


class StaleValue(_FalseValue):
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        older = [item.value for item in self.past(key, execution) if item.value not in (None, honest)]
        return older[-1] if older and honest is not None else honest


class MixedSnapshot(_FalseValue):
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        past = self.past(key, execution)
        state, height = self.channel.state, execution.simulation.height
        read = [state.value(item.key, height) for item in execution.reads[:-1] if isinstance(item, GetState)]
        since = max((item.height for item in read if item is not None), default=0)
        if not past or past[-1].height > since:
            return honest
        return past[-2].value if len(past) > 1 else None


class OldSnapshot(Adversary):
    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        sealed = honest.ledger
        old = Simulation(self.channel.state, execution.simulation.height - 1).answer(question, sealed)
        return old if old != honest and self.strikes() else honest


class AbsentForPresent(_FalseValue):
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        return None


class ValueForAbsent(_FalseValue):
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        if honest is not None:
            return honest
        had = [item.value for item in self.past(key, execution) if item.value is not None]
        return had[-1] if had else self.of_another_key(key, execution)


class OfAnotherKey(_FalseValue):
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        return self.of_another_key(key, execution) if honest is not None else None


class ChangedCiphertext(_FalseValue):
    def lie(self, key: str, honest: bytes | None, execution: Execution) -> bytes | None:
        return honest[:-1] + bytes([honest[-1] ^ 1]) if honest is not None else None


class Steered(Adversary):
    """Every answer is one that was never true; after it no question for the peer may come."""

    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        if len(execution.reads) > 1 and execution.answers and execution.answers[-1] in self._lies:
            self.leaked("after a false answer the enclave went on and showed what it reads next")
        lie = _bent(honest)
        if lie == honest or not self.strikes():
            return honest
        self._lies.append(lie)
        return lie

    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self._lies: list[StateAnswer] = []


def _bent(honest: StateAnswer) -> StateAnswer:
    if isinstance(honest, RowsAnswer):
        rows = tuple((key, value[:-1] + bytes([value[-1] ^ 1])) for key, value in honest.rows)
        return replace(honest, rows=rows)
    return replace(honest, value=honest.value[:-1] + bytes([honest.value[-1] ^ 1])) if honest.value else honest


class _FalseRows(Adversary):
    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        if not isinstance(question, GetRange) or not isinstance(honest, RowsAnswer):
            return honest
        lie = self.lie(honest.rows, question, execution)
        return replace(honest, rows=lie) if lie != honest.rows and self.strikes() else honest

    @abstractmethod
    def lie(self, rows: Rows, question: GetRange, execution: Execution) -> Rows:
        """Other rows, or the same: nothing to attack."""


class RowLeftOut(_FalseRows):
    def lie(self, rows: Rows, question: GetRange, execution: Execution) -> Rows:
        return rows[: len(rows) // 2] + rows[len(rows) // 2 + 1 :]


class RowAdded(_FalseRows):
    def lie(self, rows: Rows, question: GetRange, execution: Execution) -> Rows:
        state, height = self.channel.state, execution.simulation.height
        others = [state.value(key, height) for key in state.keys(height) if key not in dict(rows)]
        value = rows[-1][1] if rows else next((item.value for item in others if item is not None), None)
        last = rows[-1][0] if rows else question.start
        return (*rows, (last + "0", value)) if value is not None else rows


class RowDoubled(_FalseRows):
    def lie(self, rows: Rows, question: GetRange, execution: Execution) -> Rows:
        return (*rows[:1], *rows)


class RowsReordered(_FalseRows):
    def lie(self, rows: Rows, question: GetRange, execution: Execution) -> Rows:
        return rows[::-1]


class RowStale(_FalseRows):
    def lie(self, rows: Rows, question: GetRange, execution: Execution) -> Rows:
        found = []
        for key, value in rows:
            older = [item.value for item in self.channel.state.history(key) if item.value not in (None, value)]
            found.append((key, older[-1] or value) if older else (key, value))
        return tuple(found)


class LedgerAnswerChanged(Adversary):
    def ledger_answer(self, sealed: bytes) -> bytes:
        return sealed[:-1] + bytes([sealed[-1] ^ 1]) if sealed and self.strikes() else sealed


class LedgerAnswerReplayed(Adversary):
    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self._last = b""

    def ledger_answer(self, sealed: bytes) -> bytes:
        last, self._last = self._last, sealed
        return last if last and self.strikes() else sealed


class LedgerSilent(Adversary):
    def ledger_answer(self, sealed: bytes) -> bytes:
        return b"" if self.strikes() else sealed
