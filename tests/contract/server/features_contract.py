"""A contract that uses every feature of the stub, for the tests on real Fabric."""

from __future__ import annotations

from typing import Any

from cloister.contract import Contract, KeyEndorsementPolicy, Response, TransactionContext, query


class Features(Contract):
    async def put(self, ctx: TransactionContext, key: str, value: bytes) -> None:
        await ctx.get_stub().put_state(key, value)

    async def put_many(self, ctx: TransactionContext, prefix: str, count: int) -> None:
        for number in range(count):
            await ctx.get_stub().put_state(f"{prefix}{number:04}", str(number))

    async def delete(self, ctx: TransactionContext, key: str) -> None:
        await ctx.get_stub().delete_state(key)

    async def put_and_get(self, ctx: TransactionContext, key: str, value: bytes) -> bytes:
        await ctx.get_stub().put_state(key, value)
        return await ctx.get_stub().get_state(key)

    @query
    async def get(self, ctx: TransactionContext, key: str) -> bytes:
        return await ctx.get_stub().get_state(key)

    @query
    async def length(self, ctx: TransactionContext, key: str) -> int:
        return len(await ctx.get_stub().get_state(key))

    @query
    async def keys_in_range(self, ctx: TransactionContext, start: str, end: str) -> list[str]:
        return [item.key async for item in await ctx.get_stub().get_state_by_range(start, end)]

    @query
    async def page(self, ctx: TransactionContext, start: str, end: str, size: int, bookmark: str) -> dict[str, Any]:
        iterator = await ctx.get_stub().get_state_by_range_with_pagination(start, end, size, bookmark)
        keys = [item.key async for item in iterator]
        return {"keys": keys, "count": iterator.metadata.fetched_records_count, "bookmark": iterator.metadata.bookmark}

    async def put_composite(self, ctx: TransactionContext, object_type: str, parts: list[str]) -> None:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key(object_type, parts), b"\x00")

    @query
    async def composite(self, ctx: TransactionContext, object_type: str, parts: list[str]) -> list[list[str]]:
        stub = ctx.get_stub()
        iterator = await stub.get_state_by_partial_composite_key(object_type, parts)
        return [stub.split_composite_key(item.key)[1] async for item in iterator]

    @query
    async def composite_page(
        self, ctx: TransactionContext, object_type: str, parts: list[str], size: int, bookmark: str
    ) -> dict[str, Any]:
        stub = ctx.get_stub()
        iterator = await stub.get_state_by_partial_composite_key_with_pagination(object_type, parts, size, bookmark)
        keys = [stub.split_composite_key(item.key)[1] async for item in iterator]
        return {"keys": keys, "bookmark": iterator.metadata.bookmark}

    @query
    async def history(self, ctx: TransactionContext, key: str) -> list[dict[str, Any]]:
        iterator = await ctx.get_stub().get_history_for_key(key)
        return [
            {"tx": item.tx_id, "value": item.value, "deleted": item.is_delete, "at": item.timestamp.seconds}
            async for item in iterator
        ]

    @query
    async def rich(self, ctx: TransactionContext) -> list[str]:
        return [item.key async for item in await ctx.get_stub().get_query_result('{"selector": {}}')]

    async def put_private(self, ctx: TransactionContext, collection: str, key: str) -> None:
        stub = ctx.get_stub()
        await stub.put_private_data(collection, key, stub.get_transient()["value"])

    @query
    async def get_private(self, ctx: TransactionContext, collection: str, key: str) -> bytes:
        return await ctx.get_stub().get_private_data(collection, key)

    @query
    async def private_hash(self, ctx: TransactionContext, collection: str, key: str) -> str:
        return (await ctx.get_stub().get_private_data_hash(collection, key)).hex()

    @query
    async def private_range(self, ctx: TransactionContext, collection: str) -> list[str]:
        return [item.key async for item in await ctx.get_stub().get_private_data_by_range(collection, "", "")]

    async def delete_private(self, ctx: TransactionContext, collection: str, key: str) -> None:
        await ctx.get_stub().delete_private_data(collection, key)

    async def purge_private(self, ctx: TransactionContext, collection: str, key: str) -> None:
        await ctx.get_stub().purge_private_data(collection, key)

    async def emit(self, ctx: TransactionContext, name: str, payload: bytes) -> None:
        ctx.get_stub().set_event("replaced", b"")
        ctx.get_stub().set_event(name, payload)

    async def call(self, ctx: TransactionContext, chaincode: str, channel: str, arguments: list[str]) -> Response:
        return await ctx.get_stub().invoke_chaincode(chaincode, arguments, channel)

    async def require(self, ctx: TransactionContext, key: str, msp_ids: list[str]) -> None:
        policy = KeyEndorsementPolicy()
        policy.add_orgs("PEER", *msp_ids)
        await ctx.get_stub().set_state_validation_parameter(key, policy.policy())

    @query
    async def required(self, ctx: TransactionContext, key: str) -> list[str]:
        return KeyEndorsementPolicy(await ctx.get_stub().get_state_validation_parameter(key)).list_orgs()

    async def require_private(self, ctx: TransactionContext, collection: str, key: str, msp_id: str) -> None:
        policy = KeyEndorsementPolicy()
        policy.add_orgs("PEER", msp_id)
        await ctx.get_stub().set_private_data_validation_parameter(collection, key, policy.policy())

    @query
    async def required_private(self, ctx: TransactionContext, collection: str, key: str) -> list[str]:
        policy = await ctx.get_stub().get_private_data_validation_parameter(collection, key)
        return KeyEndorsementPolicy(policy).list_orgs()

    @query
    def who(self, ctx: TransactionContext) -> dict[str, Any]:
        identity = ctx.get_client_identity()
        return {
            "msp": identity.get_mspid(),
            "units": identity.get_organizational_units(),
            "name": identity.get_x509_certificate().subject.rfc4514_string(),
        }

    @query
    def transaction(self, ctx: TransactionContext) -> dict[str, Any]:
        stub = ctx.get_stub()
        return {
            "id": stub.get_txid(),
            "channel": stub.get_channel_id(),
            "binding": stub.get_binding().hex(),
            "transient": sorted(stub.get_transient()),
            "arguments": stub.get_string_args(),
        }

    def fail(self, ctx: TransactionContext, message: str) -> None:
        raise ValueError(message)

    def status(self, ctx: TransactionContext, code: int) -> Response:
        return Response(code, "message", b"payload")
