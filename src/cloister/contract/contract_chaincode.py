"""The dispatcher: from a transaction's arguments to a contract's function and back to a response.

Trust level: pure, measured into enclaves. Only awaitables of the stub are awaited, so that whoever drives `invoke`
needs no event loop.
Source: behaviour of `fabric-chaincode-python` 2.5.4 and fabric-contract-api-go contractapi.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from cloister.errors import CloisterError

from .contract import ContractInterface
from .errors import ContractInvalid, InvalidArgument
from .functions import TransactionFunction
from .identity import ClientIdentity
from .metadata import InfoMetadata, describe_contract
from .registered import RegisteredContract, register_contract
from .response import Response, as_response, error, success
from .results import encode_result
from .stub import ChaincodeStubInterface
from .system_contract import SystemContract, SystemContractName


class Chaincode(ABC):
    """What a chaincode server calls; implement it for chaincode without contract classes."""

    @abstractmethod
    async def init(self, stub: ChaincodeStubInterface) -> Response:
        """Initialise, if the definition demands it."""

    @abstractmethod
    async def invoke(self, stub: ChaincodeStubInterface) -> Response:
        """Run a transaction. Never raises for anything a caller can send."""


class ContractChaincode(Chaincode):
    """Serves contracts: "function" goes to the default contract (the first), "Contract:function" to the named one.

    `DefaultContract` and `Info` may be changed after construction and before serving; the metadata shows them as they
    were at construction.
    """

    DefaultContract: str = ""
    Info: InfoMetadata = InfoMetadata()

    def __init__(self, *contracts: ContractInterface) -> None:
        """Raises: ContractInvalid if a contract cannot be served."""
        self._contracts: dict[str, RegisteredContract] = {}
        for contract in contracts:
            self._add(register_contract(contract))
        if not self._contracts:
            raise ContractInvalid("chaincode without a contract: expected at least one")
        self.DefaultContract = self.DefaultContract or next(iter(self._contracts))
        self._add(register_contract(SystemContract()))
        self._metadata = self._describe()
        self._contracts[SystemContractName] = register_contract(SystemContract(self._metadata))

    @classmethod
    def new_chaincode(cls, *contracts: ContractInterface) -> Self:
        """The official package's name for the constructor."""
        return cls(*contracts)

    def renewed(self, contracts: Sequence[ContractInterface]) -> Self:
        """The same chaincode over other objects of the same contracts, in the same order; nothing is described anew.

        For classes that were loaded again, so that nothing of an earlier transaction is left in them.
        """
        names = [name for name in self._contracts if name != SystemContractName]
        renewed = object.__new__(type(self))
        vars(renewed).update(vars(self))
        renewed._contracts = dict(self._contracts)
        for name, contract in zip(names, contracts, strict=True):
            renewed._contracts[name] = self._contracts[name].renewed(contract)
        return renewed

    async def init(self, stub: ChaincodeStubInterface) -> Response:
        """Run the function that the arguments name; without any, succeed."""
        arguments = stub.get_args()
        if not arguments or not arguments[0]:
            return success("Default initiator successful.")
        return await self.invoke(stub)

    async def invoke(self, stub: ChaincodeStubInterface) -> Response:
        """Run one transaction; whatever the contract raises becomes status 500 with its message.

        Exceptions that do not derive from Exception pass through: they are for whoever supplied the stub.
        """
        try:
            return await self._run(stub)
        except CloisterError as failure:
            return error(failure.message)
        except Exception as failure:  # noqa: BLE001  (a contract may raise anything)
            return error(str(failure) or type(failure).__name__)

    def reaches_code(self, function_name: str) -> bool:
        """Whether "function" or "Contract:function" runs any code of a contract's: the function itself, or a hook."""
        contract_name, function = self._split(function_name)
        contract = self._contracts.get(contract_name)
        if contract is None or not function:
            return False
        return contract.find(function) is not None or contract.before is not None or contract.unknown is not None

    def find(self, name: str) -> TransactionFunction | None:
        """What "function" or "Contract:function" names; None if it does not exist."""
        contract_name, function_name = self._split(name)
        contract = self._contracts.get(contract_name)
        return contract.find(function_name) if contract is not None else None

    @property
    def clear_key_spaces(self) -> tuple[str, ...]:
        """Those of all contracts, sorted."""
        return tuple(sorted({space for item in self._contracts.values() for space in item.clear_key_spaces}))

    @property
    def metadata(self) -> str:
        """The metadata as JSON text."""
        return self._metadata

    def start(
        self,
        cc_id: str | None = None,
        address: str | None = None,
        key: bytes | str | None = None,
        cert: bytes | str | None = None,
        client_ca_certs: bytes | str | None = None,
    ) -> None:
        """Serve as chaincode-as-a-service until SIGINT or SIGTERM; see `cloister.contract.server.run`.

        The environment wins over the arguments, as in the official package. Key and certificates: PEM or file names.
        """
        # By name: the server half is no part of what is measured into an enclave, where nothing calls `start`.
        run = importlib.import_module("cloister.contract.server.run")
        run.serve_from_environment(
            self, chaincode_id=cc_id, address=address, key=key, certificate=cert, client_ca=client_ca_certs
        )

    async def _run(self, stub: ChaincodeStubInterface) -> Response:
        arguments = stub.get_args()
        contract_name, function_name = self._split(_function_name(arguments))
        contract = self._contracts.get(contract_name)
        if contract is None:
            return error(f"Contract not found with name {contract_name}")
        if not function_name:
            return error("Blank function name passed")
        context = contract.context_class()
        context.set_stub(stub)
        context.set_client_identity(ClientIdentity(stub))
        if contract.before is not None:
            await contract.before.call_with(context, ())
        function = contract.find(function_name)
        if function is not None:
            result = await function.call(context, arguments[1:])
        elif contract.unknown is not None:
            result = await contract.unknown.call_with(context, ())
        else:
            return error(f"Function {function_name} not found in contract {contract_name}")
        response = as_response(result) or success(encode_result(result))
        await contract.run_after(context, result)
        return response

    def _add(self, contract: RegisteredContract) -> None:
        if contract.name in self._contracts:
            raise ContractInvalid(f"two contracts are called {contract.name}", hint="give one of them another Name")
        self._contracts[contract.name] = contract

    def _split(self, name: str) -> tuple[str, str]:
        contract_name, colon, function_name = name.rpartition(":")
        return (contract_name, function_name) if colon else (self.DefaultContract, name)

    def _describe(self) -> str:
        components: dict[str, Any] = {}
        contracts = {
            name: describe_contract(name, item.info, item.functions.values(), components, item.clear_key_spaces)
            | ({"default": True} if name == self.DefaultContract else {})
            for name, item in self._contracts.items()
        }
        described: dict[str, Any] = {"info": self.Info.to_dict(), "contracts": contracts}
        if components:
            described["components"] = {"schemas": components}
        return json.dumps(described, sort_keys=True, indent=2)


def _function_name(arguments: Sequence[bytes]) -> str:
    if not arguments:
        return ""
    try:
        return arguments[0].decode()
    except UnicodeDecodeError as failure:
        raise InvalidArgument("function name is not UTF-8", field="arguments") from failure
