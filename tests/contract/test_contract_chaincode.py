from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from fabric_protos.peer import proposal_response_pb2

from cloister.contract import (
    ChaincodeStub,
    ClientIdentity,
    Contract,
    ContractChaincode,
    ContractInvalid,
    Invocation,
    Response,
    TransactionContext,
    TransactionContextInterface,
    TransactionError,
    UndefinedInterface,
    error,
    query,
    success,
    transaction,
)
from cloister.errors import UsageError
from support.calls import call
from support.memory_ledger import MemoryLedger


@dataclass
class Asset:
    owner: str
    value: int = 0


class Assets(Contract):
    """A contract with every way to declare a function."""

    clear_key_spaces = ("asset",)

    def __init__(self) -> None:
        self.helper = len  # a callable attribute is no transaction function

    class Nested:
        """Nor is a nested class."""

    async def create(self, ctx: TransactionContext, key: str, asset: Asset) -> None:
        await ctx.get_stub().put_state(key, json.dumps({"owner": asset.owner, "value": asset.value}))

    async def read(self, ctx: TransactionContextInterface, key: str) -> bytes:
        return await ctx.get_stub().get_state(key)

    def add(self, ctx, left: int, right: int = 10) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return left + right

    def total(self, ctx: TransactionContext, *values: int) -> int:
        return sum(values)

    def without_context(self, text: str) -> str:
        return text

    @staticmethod
    def static(text: str) -> str:
        return text

    def pair(self, ctx: TransactionContext, fail: bool) -> tuple[str, Exception | None]:
        return ("", ValueError("returned")) if fail else ("fine", None)

    def unannotated(self, ctx: TransactionContext, text):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        return text

    @transaction(reveal="on-commit")
    def secret(self, ctx: TransactionContext) -> str:
        return "secret"

    @query
    def look(self, ctx: TransactionContext) -> str:
        return "seen"

    def raises(self, ctx: TransactionContext) -> None:
        raise TransactionError("AUCTION_NOT_EXISTING")

    def breaks(self, ctx: TransactionContext) -> None:
        raise KeyError

    def accept(self, ctx: TransactionContext) -> Response:
        return Response(201, "created", b"p")

    def refuse(self, ctx: TransactionContext) -> Any:
        return error("no")

    def generated(self, ctx: TransactionContext) -> Any:
        return proposal_response_pb2.Response(status=200, payload=b"generated")

    def who(self, ctx: TransactionContext) -> str:
        return ctx.get_client_identity().get_mspid()

    def hidden(self, ctx: TransactionContext) -> str:
        return "hidden"

    def _private(self, ctx: TransactionContext) -> str:
        return "private"

    def get_ignored_functions(self) -> list[str]:
        return ["hidden"]

    def get_evaluate_transactions(self) -> list[str]:
        return ["read"]


class Second(Contract):
    Name = "org.second"

    def Create(self, ctx: TransactionContext) -> str:  # noqa: N802
        return "second"


CHAINCODE = ContractChaincode.new_chaincode(Assets(), Second())


@pytest.mark.parametrize(
    ("arguments", "payload"),
    [
        (["add", "1", "2"], b"3"),
        (["add", "1"], b"11"),
        (["Assets:add", "1", "2"], b"3"),
        (["total"], b"0"),
        (["total", "1", "2", "3"], b"6"),
        (["without_context", "t"], b"t"),
        (["static", "t"], b"t"),
        (["pair", "false"], b"fine"),
        (["unannotated", "t"], b"t"),
        (["org.second:create"], b"second"),
        (["org.second:Create"], b"second"),
        (["accept"], b"p"),
        (["generated"], b"generated"),
    ],
)
def test_functions_are_called_with_typed_arguments(arguments: list[str], payload: bytes) -> None:
    response = call(CHAINCODE, *arguments)
    assert (response.status < 300, response.payload) == (True, payload)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add"], "Assets.add: expected 1 to 2 arguments (left, right), got 0"),
        (["add", "1", "2", "3"], "Assets.add: expected 1 to 2 arguments (left, right), got 3"),
        (["add", "x"], "Assets.add: parameter 'left': expected int, got other text"),
        (["total", "1", "x"], "Assets.total: parameter 'values': expected int, got other text"),
        (["create", "k", '{"owner": 1}'], "Assets.create: parameter 'asset.owner': expected str, got an integer"),
        (["create", "k", "[]"], "Assets.create: parameter 'asset': expected Asset, got a list"),
        (["raises"], "AUCTION_NOT_EXISTING"),
        (["breaks"], "KeyError"),
        (["pair", "true"], "returned"),
        (["refuse"], "no"),
        (["read", ""], "key refused: expected a non-empty string"),
        (["unknown"], "Function unknown not found in contract Assets"),
        (["hidden"], "Function hidden not found in contract Assets"),
        (["_private"], "Function _private not found in contract Assets"),
        (["get_name"], "Function get_name not found in contract Assets"),
        (["helper"], "Function helper not found in contract Assets"),
        (["Nested"], "Function Nested not found in contract Assets"),
        (["get_ignored_functions"], "Function get_ignored_functions not found in contract Assets"),
        (["Nobody:add"], "Contract not found with name Nobody"),
        ([""], "Blank function name passed"),
        ([], "Blank function name passed"),
        ([b"\xff"], "function name is not UTF-8"),
    ],
)
def test_everything_else_is_status_500_with_one_line(arguments: list[str], message: str) -> None:
    response = call(CHAINCODE, *arguments)
    assert (response.status, response.message, response.payload) == (500, message, b"")


def test_writes_reach_the_ledger_and_reads_see_them_after_commit() -> None:
    ledger = MemoryLedger()
    assert call(CHAINCODE, "create", "k", '{"owner": "o"}', ledger=ledger) == success()
    assert call(CHAINCODE, "read", "k", ledger=ledger).payload == b'{"owner": "o", "value": 0}'


def test_a_dispatcher_error_of_the_stub_itself_passes_through() -> None:
    class Cut(BaseException):
        pass

    class Cutting(MemoryLedger):
        async def get_state(self, key: str, collection: str = "") -> bytes:
            raise Cut

    with pytest.raises(Cut):
        call(CHAINCODE, "read", "k", ledger=Cutting())


def test_init_without_a_function_succeeds() -> None:
    coroutine = CHAINCODE.init(ChaincodeStub(Invocation((), "channel", "tx"), MemoryLedger()))
    with pytest.raises(StopIteration) as finished:
        coroutine.send(None)
    assert finished.value.value == success("Default initiator successful.")


def test_queries_and_reveal_modes_can_be_asked_for() -> None:
    names = ("read", "Assets:look", "add", "secret", "org.hyperledger.fabric:GetMetadata")
    found = [function for name in names if (function := CHAINCODE.find(name))]
    assert [function.evaluate for function in found] == [True, True, False, False, True]
    assert [function.reveal for function in found][2:4] == [None, "on-commit"]
    assert [CHAINCODE.find(name) for name in ("nothing", "No:read")] == [None, None]
    assert CHAINCODE.clear_key_spaces == ("asset",)


@pytest.mark.parametrize("name", ["GetMetadata", "get_metadata"])
def test_metadata_describes_every_function(name: str) -> None:
    metadata = json.loads(call(CHAINCODE, f"org.hyperledger.fabric:{name}").payload)
    assert metadata["info"] == {"title": "undefined", "version": "latest"}
    assert set(metadata["contracts"]) == {"Assets", "org.second", "org.hyperledger.fabric"}
    assets = metadata["contracts"]["Assets"]
    assert (assets["default"], assets["clearKeySpaces"]) == (True, ["asset"])
    transactions = {item["name"]: item for item in assets["transactions"]}
    assert "hidden" not in transactions
    assert transactions["read"]["tag"] == ["evaluate", "EVALUATE"]
    assert transactions["secret"]["reveal"] == "on-commit"
    assert transactions["create"]["parameters"] == [
        {"name": "key", "schema": {"type": "string"}},
        {"name": "asset", "schema": {"$ref": "#/components/schemas/Asset"}},
    ]
    assert transactions["add"]["returns"] == {"type": "integer", "format": "int64"}
    assert metadata["components"]["schemas"]["Asset"] == {
        "$id": "Asset",
        "type": "object",
        "properties": {"owner": {"type": "string"}, "value": {"type": "integer", "format": "int64"}},
        "required": ["owner"],
        "additionalProperties": False,
    }


class Journal(TransactionContext):
    """A context of one's own, new for every transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[str] = []


class Hooked(Contract):
    TransactionContextHandler = Journal
    log: list[Any]

    def BeforeTransaction(self, ctx: Journal) -> None:  # noqa: N802
        ctx.entries.append("before")
        if ctx.get_stub().get_string_args()[-1] == "stop":
            raise TransactionError("stopped before")

    async def AfterTransaction(self, ctx: Journal, result: Any) -> None:  # noqa: N802
        Hooked.log = [*ctx.entries, result]
        if result == "spoil":
            raise TransactionError("spoiled after")

    def UnknownTransaction(self, ctx) -> str:  # type: ignore[no-untyped-def]  # noqa: N802, ANN001
        return f"unknown {ctx.get_stub().get_function_and_parameters()[0]}"

    def run(self, ctx: Journal, text: str) -> str:
        ctx.entries.append("run")
        return text

    def nothing(self, ctx: Journal) -> None:
        pass


def test_hooks_run_around_each_transaction() -> None:
    chaincode = ContractChaincode(Hooked())
    assert call(chaincode, "run", "result").payload == b"result"
    assert Hooked.log == ["before", "run", "result"]
    assert call(chaincode, "other").payload == b"unknown other"
    assert call(chaincode, "nothing").payload == b""
    assert isinstance(Hooked.log[-1], UndefinedInterface)
    assert call(chaincode, "run", "stop") == error("stopped before")
    assert call(chaincode, "run", "spoil") == error("spoiled after")


class Twice(Contract):
    Name = "Assets"

    def f(self) -> None: ...


class Empty(Contract):
    pass


class KeywordOnly(Contract):
    def f(self, ctx: TransactionContext, *, key: str) -> None: ...


class Unsupported(Contract):
    def f(self, ctx: TransactionContext, key: set[str]) -> None: ...


class ContextLast(Contract):
    def f(self, key: str, ctx: TransactionContext) -> None: ...


class Unresolved(Contract):
    def f(self, ctx: TransactionContext, key: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class BadHook(Contract):
    BeforeTransaction = "text"

    def f(self) -> None: ...


class GreedyHook(Contract):
    def BeforeTransaction(self, ctx: TransactionContext, more: str) -> None: ...  # noqa: N802

    def f(self) -> None: ...


@pytest.mark.parametrize(
    ("contracts", "message"),
    [
        ([Assets(), Twice()], "two contracts are called Assets"),
        ([], "chaincode without a contract: expected at least one"),
        ([Empty()], "contract Empty has no transaction function: it needs at least one public method"),
        ([KeywordOnly()], "KeywordOnly.f: parameter 'key' cannot be given by position"),
        (
            [Unsupported()],
            "Unsupported.f: parameter 'key': type set[str] is not supported: expected one with a JSON form",
        ),
        ([ContextLast()], "ContextLast.f: the transaction context must be the first parameter"),
        ([Unresolved()], "Unresolved.f: type of parameter 'key' cannot be resolved: name 'Missing' is not defined"),
        ([BadHook()], "BadHook.BeforeTransaction: expected a function, got str"),
        ([GreedyHook()], "GreedyHook.BeforeTransaction: it may take the context, nothing else"),
        ([Assets], "not a contract: expected an instance of cloister.contract.Contract, got a class"),
    ],
)
def test_contracts_that_cannot_be_served_are_refused_at_once(contracts: list[Any], message: str) -> None:
    with pytest.raises(ContractInvalid) as caught:
        ContractChaincode(*contracts)
    assert caught.value.message == message
    assert isinstance(caught.value, UsageError)


def test_a_context_outside_a_transaction_says_so() -> None:
    with pytest.raises(ContractInvalid):
        TransactionContext().get_stub()


def test_an_unknown_reveal_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="reveal"):
        transaction(reveal="never")  # type: ignore[call-overload]


def test_the_identity_is_read_only_when_asked_for() -> None:
    assert call(CHAINCODE, "who").status == 200  # an empty creator has an empty MSP ID
    assert ClientIdentity(ChaincodeStub(Invocation((), "c", "t", b"\xff"), MemoryLedger())) is not None
    assert call(CHAINCODE, "who", creator=b"\xff") == error("not a serialised identity")
