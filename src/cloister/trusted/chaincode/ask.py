"""How a contract's coroutine asks the host something, without an event loop: await → yield → the driver's answer.

Trust level: trusted, pure. `execution.py` drives the coroutine by hand; each question leaves the enclave as one frame.
"""

from __future__ import annotations

from collections.abc import Generator

from cloister.wire.messages import Answer, GetParameter, GetRange, GetState, Question, RowsAnswer, ValueAnswer


class ExecutionAborted(BaseException):
    """The host broke a promise in the middle of an execution: nothing of it is released.

    Not an `Exception`, so that no contract can catch it by accident and go on. `reason` is a coarse code.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Ask:
    __slots__ = ("_question",)

    def __init__(self, question: Question) -> None:
        self._question = question

    def __await__(self) -> Generator[Question, Answer, Answer]:
        answer = yield self._question
        return answer


async def ask_state(key: str) -> bytes | None:
    """The stored value of one key, as the host claims it."""
    return _value(await _Ask(GetState(key)))


async def ask_parameter(key: str) -> bytes | None:
    """The endorsement parameter of one key, as the host claims it."""
    return _value(await _Ask(GetParameter(key)))


async def ask_range(start: str, end: str, limit: int, bookmark: str) -> RowsAnswer:
    """Rows of [start, end) as the host claims them: all (limit 0), or one page."""
    answer = await _Ask(GetRange(start, end, limit, bookmark))
    if not isinstance(answer, RowsAnswer):
        raise ExecutionAborted("integrity")
    return answer


def _value(answer: Answer) -> bytes | None:
    if not isinstance(answer, ValueAnswer):
        raise ExecutionAborted("integrity")
    return answer.value
