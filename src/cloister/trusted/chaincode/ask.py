"""How a coroutine in the enclave asks the host something, without an event loop: await → yield → the driver's answer.

Trust level: trusted, pure. A `Task` drives one coroutine by hand; each question leaves the enclave as one frame.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Any, Generic, TypeVar

from cloister.errors import Refused
from cloister.wire.messages import Answer, AskLedger, LedgerReplied, Question

_A = TypeVar("_A", bound=Answer)
_R = TypeVar("_R")


class ExecutionAborted(BaseException):
    """The host broke a promise in the middle of an execution: nothing of it is released.

    Not an `Exception`, so that no contract can catch it by accident and go on. `reason` is a coarse code, `detail` a
    public fact that helps.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class TaskRefused(Refused):
    """A task ended without a result; `detail` is a public fact that helps, or nothing."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__("refused", reason=reason)
        self.detail = detail


class Task(Generic[_R]):
    """One coroutine that may ask. `step(None)` starts it; each later step brings the answer to the last question."""

    def __init__(self, coroutine: Coroutine[Question, Answer | None, _R]) -> None:
        self._coroutine = coroutine

    def step(self, answer: Answer | None) -> Question | _R:
        """The next question, or the result. Raises: Refused; MalformedInput if an answer is malformed."""
        try:
            question = self._coroutine.send(answer)
            if not isinstance(question, Question):
                raise TaskRefused("contract", "")  # it waits for something that nobody here will give it
            return question
        except StopIteration as stop:
            result: _R = stop.value
            return result
        except ExecutionAborted as aborted:
            raise TaskRefused(aborted.reason, aborted.detail) from aborted
        except GeneratorExit as error:  # only a contract raises that here
            raise TaskRefused("contract", "") from error

    def close(self) -> None:
        """Forget it, whatever a contract in it does at the news."""
        with suppress(BaseException):
            self._coroutine.close()


class Within(Generic[_R]):
    """Await a contract's coroutine in a context of its own; `enter` comes before each of its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, _R], enter: Callable[[], None], context: Context) -> None:
        self._coroutine = coroutine
        self._enter = enter
        self._context = context

    def __await__(self) -> Generator[Any, Any, _R]:
        answer: Any = None
        try:
            while True:
                self._enter()
                answer = yield self._context.run(self._coroutine.send, answer)
        except StopIteration as stop:
            result: _R = stop.value
            return result
        finally:
            self._enter()
            self._context.run(self._coroutine.close)


@types.coroutine
def ask(question: Question, kind: type[_A]) -> Generator[Question, Answer, _A]:
    """The host's answer. Aborts if it is one to another kind of question."""
    answer = yield question
    if not isinstance(answer, kind):
        raise ExecutionAborted("integrity")
    return answer


async def ask_ledger(sealed: bytes) -> bytes:
    """The ledger enclave's sealed answer; empty if the host has none."""
    return (await ask(AskLedger(sealed), LedgerReplied)).ledger
