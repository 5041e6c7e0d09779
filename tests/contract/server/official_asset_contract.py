# mypy: disable-error-code="misc"
"""A contract written for `fabric-chaincode-python`. The tests run it there, and here with its import line changed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fabric_chaincode_python.fabric_contract_api.contractapi import Contract, ContractChaincode, TransactionContext


@dataclass
class Asset:
    owner: str
    value: int
    tags: list[str]


class AssetContract(Contract):
    Name = "assets"

    def __init__(self) -> None:
        super().__init__()
        self.Info.title = "Assets"

    def BeforeTransaction(self, ctx: TransactionContext) -> None:  # noqa: N802
        if ctx.get_stub().get_function_and_parameters()[0] == "forbidden":
            raise ValueError("refused before the transaction")

    async def create_asset(self, ctx: TransactionContext, key: str, asset: Asset) -> Asset:
        stub = ctx.get_stub()
        if await stub.get_state(key):
            raise ValueError(f"asset {key} exists")
        document = {"owner": asset.owner, "value": asset.value, "tags": asset.tags}
        await stub.put_state(key, json.dumps(document).encode())
        await stub.put_state(stub.create_composite_key("owner~key", [asset.owner, key]), b"\x00")
        return asset

    async def read_asset(self, ctx: TransactionContext, key: str) -> str:
        value = await ctx.get_stub().get_state(key)
        if not value:
            raise ValueError(f"asset {key} does not exist")
        return bytes(value).decode()

    async def delete_asset(self, ctx: TransactionContext, key: str) -> None:
        await ctx.get_stub().delete_state(key)

    async def list_assets(self, ctx: TransactionContext, start: str, end: str) -> list[str]:
        return [item.key async for item in await ctx.get_stub().get_state_by_range(start, end)]

    async def list_page(self, ctx: TransactionContext, size: int) -> list[str]:
        iterator = await ctx.get_stub().get_state_by_range_with_pagination("a", "z", size, "")
        return [item.key async for item in iterator]

    async def keys_of_owner(self, ctx: TransactionContext, owner: str) -> list[list[str]]:
        stub = ctx.get_stub()
        found = []
        async for item in await stub.get_state_by_partial_composite_key("owner~key", [owner]):
            object_type, attributes = stub.split_composite_key(item.key)
            found.append([object_type, *attributes])
        return found

    async def history(self, ctx: TransactionContext, key: str) -> list[dict[str, str]]:
        changes = []
        async for item in await ctx.get_stub().get_history_for_key(key):
            changes.append({"value": bytes(item.value).decode(), "deleted": str(item.is_delete)})  # noqa: PERF401
        return changes

    def who(self, ctx: TransactionContext) -> dict[str, str]:
        identity = ctx.get_client_identity()
        return {"msp": identity.get_mspid(), "id": identity.get_id(), "x509": identity.get_x509().decode()}

    def creator(self, ctx: TransactionContext) -> str:
        creator = ctx.get_stub().get_creator()
        return str(creator["mspid"]) + bytes(creator["idBytes"]).decode()

    def transaction(self, ctx: TransactionContext) -> list[str]:
        stub = ctx.get_stub()
        return [stub.get_channel_id(), *stub.get_function_and_parameters()[1], str(stub.get_tx_timestamp().seconds > 0)]

    def scalars(self, ctx: TransactionContext, a: int, b: float, c: bool, d: str) -> str:
        return f"{a + 1} {b / 2} {not c} {d}"

    def echo_int(self, ctx: TransactionContext, value: int) -> int:
        return value

    def echo_float(self, ctx: TransactionContext, value: float) -> float:
        return value

    def echo_bool(self, ctx: TransactionContext, value: bool) -> bool:
        return value

    def sum_list(self, ctx: TransactionContext, values: list[int]) -> int:
        return sum(values)

    def reverse(self, ctx: TransactionContext, values: dict[str, int]) -> dict[str, int]:
        return {key: -value for key, value in values.items()}

    def nothing(self, ctx: TransactionContext) -> None:
        return None

    def fail(self, ctx: TransactionContext, message: str) -> str:
        raise RuntimeError(message)

    def forbidden(self, ctx: TransactionContext) -> str:
        return "never"

    def internal(self, ctx: TransactionContext) -> str:
        return "never"

    def get_ignored_functions(self) -> list[str]:
        return ["internal"]

    def get_evaluate_transactions(self) -> list[str]:
        return ["read_asset", "list_assets"]


class OtherContract(Contract):
    def __init__(self) -> None:
        super().__init__()
        self.Name = "other"

    def Greet(self, ctx: TransactionContext, name: str) -> str:  # noqa: N802
        return f"hello {name}"

    def UnknownTransaction(self, ctx: TransactionContext) -> str:  # noqa: N802
        raise ValueError("no such function here")


chaincode = ContractChaincode.new_chaincode(AssetContract(), OtherContract())

if __name__ == "__main__":
    chaincode.start()
