"""Gives back what it gets: the smallest contract there is."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, query


class Echo(Contract):
    """Without state."""

    async def echo(self, ctx: TransactionContext, text: str) -> str:
        """The text, through a transaction."""
        del ctx
        return text

    @query
    async def ask(self, ctx: TransactionContext, text: str) -> str:
        """The text, through a query."""
        del ctx
        return text
