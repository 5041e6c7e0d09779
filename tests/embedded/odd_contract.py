"""Reads and writes in unusual orders, numbers and mixtures, in one transaction each."""

from __future__ import annotations

from cloister.contract import Contract, KeyEndorsementPolicy, TransactionContext


class Odd(Contract):
    """What it reads and writes is all that matters."""

    async def write(self, ctx: TransactionContext, keys: list[str]) -> None:
        """In this order; a key that begins with "-" is deleted, one with "=" gets an empty value."""
        for number, key in enumerate(keys):
            if key.startswith("-"):
                await ctx.get_stub().delete_state(key[1:])
            elif key.startswith("="):
                await ctx.get_stub().put_state(key[1:], b"")
            else:
                await ctx.get_stub().put_state(key, str(number))

    async def fill(self, ctx: TransactionContext, prefix: str, count: int) -> None:
        for number in range(count):
            await ctx.get_stub().put_state(f"{prefix}{number:04}", b"v")

    async def read(self, ctx: TransactionContext, keys: list[str]) -> list[str]:
        return [(await ctx.get_stub().get_state(key)).decode() for key in keys]

    async def take(self, ctx: TransactionContext, start: str, end: str, count: int) -> list[str]:
        """So many results of a range, and no more."""
        iterator = await ctx.get_stub().get_state_by_range(start, end)
        found = []
        async for item in iterator:
            found.append(item.key)
            if len(found) == count:
                break
        await iterator.close()
        return found

    async def ranges(self, ctx: TransactionContext, bounds: list[list[str]]) -> int:
        """Several ranges, all to their ends."""
        count = 0
        for start, end in bounds:
            async for _ in await ctx.get_stub().get_state_by_range(start, end):
                count += 1
        return count

    async def parameter(self, ctx: TransactionContext, key: str, order: str) -> None:
        """A key's value (v), deletion (d) and endorsement parameter (p), in an order such as "vp"."""
        policy = KeyEndorsementPolicy()
        policy.add_orgs("MEMBER", "Org1MSP", "Org2MSP")
        for step in order:
            if step == "v":
                await ctx.get_stub().put_state(key, b"v")
            elif step == "d":
                await ctx.get_stub().delete_state(key)
            else:
                await ctx.get_stub().set_state_validation_parameter(key, policy.policy())

    async def private(self, ctx: TransactionContext, keys: list[str]) -> list[str]:
        """Reads, writes, deletes and purges in two collections."""
        stub = ctx.get_stub()
        found = []
        for key in keys:
            found.append((await stub.get_private_data("shared", key)).decode())
            if key.startswith("-"):
                await stub.delete_private_data("shared", key[1:])
            elif key.startswith("!"):
                await stub.purge_private_data("shared", key[1:])
            else:
                await stub.put_private_data("shared", key, key.encode())
        await stub.put_private_data("first", "last", b"v")
        return found
