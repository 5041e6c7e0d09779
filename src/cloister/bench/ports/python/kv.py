# mypy: ignore-errors
"""The key-value store of src/cloister/samples/kv.py for the package `fabric-chaincode-python`."""

from __future__ import annotations

from fabric_chaincode_python.fabric_contract_api.contractapi import Contract, ContractChaincode, TransactionContext


class KeyValueStore(Contract):
    """See the sample."""

    async def put_state(self, ctx: TransactionContext, key: str, value: str) -> str:
        await ctx.get_stub().put_state(key, value.encode())
        return "OK"

    async def get_state(self, ctx: TransactionContext, key: str) -> str:
        found = await ctx.get_stub().get_state(key)
        return found.decode() if found else ""

    async def del_state(self, ctx: TransactionContext, key: str) -> str:
        await ctx.get_stub().delete_state(key)
        return "OK"


if __name__ == "__main__":
    ContractChaincode.new_chaincode(KeyValueStore()).start()
