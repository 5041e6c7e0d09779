"""Verdicts: Fabric's TxValidationCode, as far as a 2.x or 3.x committer with V2_0 gives them."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """`protos.TxValidationCode`."""

    VALID = 0
    NIL_ENVELOPE = 1
    BAD_PAYLOAD = 2
    BAD_COMMON_HEADER = 3
    BAD_CREATOR_SIGNATURE = 4
    INVALID_ENDORSER_TRANSACTION = 5
    INVALID_CONFIG_TRANSACTION = 6
    UNSUPPORTED_TX_PAYLOAD = 7
    BAD_PROPOSAL_TXID = 8
    DUPLICATE_TXID = 9
    ENDORSEMENT_POLICY_FAILURE = 10
    MVCC_READ_CONFLICT = 11
    PHANTOM_READ_CONFLICT = 12
    BAD_HEADER_EXTENSION = 19
    BAD_RESPONSE_PAYLOAD = 21
    BAD_RWSET = 22
    ILLEGAL_WRITESET = 23
    INVALID_WRITESET = 24
    INVALID_CHAINCODE = 25
    NOT_VALIDATED = 254
    INVALID_OTHER_REASON = 255


class Invalid(Exception):
    """Ends the judging of one transaction with a code. Never leaves the package."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code
