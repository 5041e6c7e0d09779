"""A contract that keeps what it sees wherever Python lets it: nothing of that may outlive its execution."""

from __future__ import annotations

import decimal
import functools
import logging
from typing import Any, ClassVar

from cloister.contract import Contract, TransactionContext, transaction

logging.basicConfig(level=logging.INFO)
SEEN: list[str] = []
count = 0


@functools.cache
def first_asked(question: str) -> list[str]:
    return [question] if question else []


def kept(words: list[str], keep: list[str] = []) -> list[str]:  # noqa: B006 - this is what it is about
    keep += words
    return keep


class Careless(Contract):
    """`remember` is revealed on commit; `recall` tells at once."""

    classwide: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__()
        self.own: dict[str, Any] = {}

    async def remember(self, ctx: TransactionContext, secret: str) -> str:
        global count  # noqa: PLW0603
        logging.getLogger().info("somebody said %s", secret)
        count += 1
        SEEN.append(secret)
        self.classwide.append(secret)
        self.own["secret"] = secret
        remembered = first_asked("")
        remembered.append(secret)
        kept([secret])
        type(self).__doc__ = secret
        decimal.getcontext().prec = 3
        await ctx.get_stub().get_state("anything")
        return str(self.own["secret"])

    @transaction(reveal="at-endorsement")
    async def recall(self, ctx: TransactionContext) -> str:
        found = [*SEEN, *self.classwide, *self.own.values(), *first_asked(""), *kept([])]
        return f"{count} {found} {'remember' in (type(self).__doc__ or '')} {decimal.Decimal(1) / decimal.Decimal(3)}"
