"""Contracts in Python: the API that authors import, and (in `server`) the chaincode server.

A contract for `fabric-chaincode-python` runs here with its import line changed:

    from cloister.contract import Contract, ContractChaincode, TransactionContext

All of this package but `server/` and `__main__` is pure and measured into enclaves.
"""

from .chaincode_stub import ChaincodeStub
from .context import SettableTransactionContextInterface, TransactionContext, TransactionContextInterface
from .contract import (
    Contract,
    ContractInterface,
    EvaluationContractInterface,
    IgnoreContractInterface,
    UndefinedInterface,
)
from .contract_chaincode import Chaincode, ContractChaincode
from .decorators import query, transaction
from .endorsement_policy import KeyEndorsementPolicy, RoleType
from .errors import (
    ContractInvalid,
    InvalidArgument,
    InvalidKey,
    InvalidResult,
    NotSupported,
    PeerLost,
    PeerRefused,
    TransactionError,
)
from .identity import ClientIdentity
from .invocation import Invocation, invocation_from_proposal
from .iterators import (
    HistoryQueryIterator,
    KeyModification,
    KeyValue,
    Page,
    QueryIterator,
    QueryResponseMetadata,
    StateQueryIterator,
)
from .keys import create_composite_key, split_composite_key
from .ledger import LedgerAccess
from .load import load_contract
from .metadata import ContactMetadata, InfoMetadata, LicenseMetadata
from .response import Response, ResponseCode, error, success
from .stub import ChaincodeStubInterface
from .system_contract import SystemContract, SystemContractName

__all__ = [
    "Contract",
    "ContractChaincode",
    "TransactionContext",
    "transaction",
    "query",
    "ClientIdentity",
    "TransactionError",
    "Response",
    "ResponseCode",
    "success",
    "error",
    "ContractInterface",
    "EvaluationContractInterface",
    "IgnoreContractInterface",
    "TransactionContextInterface",
    "SettableTransactionContextInterface",
    "SystemContract",
    "SystemContractName",
    "UndefinedInterface",
    "InfoMetadata",
    "ContactMetadata",
    "LicenseMetadata",
    "Chaincode",
    "ChaincodeStubInterface",
    "ChaincodeStub",
    "LedgerAccess",
    "Invocation",
    "invocation_from_proposal",
    "KeyValue",
    "KeyModification",
    "Page",
    "QueryIterator",
    "QueryResponseMetadata",
    "StateQueryIterator",
    "HistoryQueryIterator",
    "KeyEndorsementPolicy",
    "RoleType",
    "create_composite_key",
    "split_composite_key",
    "load_contract",
    "ContractInvalid",
    "InvalidArgument",
    "InvalidKey",
    "InvalidResult",
    "NotSupported",
    "PeerLost",
    "PeerRefused",
]
