"""Two statements that enclaves signed about one height and two blocks: a fork, for whoever trusts those enclaves.

One ledger enclave follows one chain. That two attested enclaves name different blocks for one height shows that whoever
can sign blocks (the orderers, as the channel defines them) signed two chains. Nothing else has to be believed: not the
clients who kept the statements, not the registry that handed out the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.errors import CloisterError, MalformedInput, Refused
from cloister.trusted.protocol.committed import verify_commit_statement
from cloister.trusted.protocol.statement import Checkpoint, verify_statement

from .checkpoints import Known, SignedCheckpoint, forks
from .credentials import Trust, verify_credentials


@dataclass(frozen=True, slots=True)
class Fork:
    """One height with two hashes (32 bytes each). `proven`: enclaves have signed both; else `why` not, in one line."""

    height: int
    first: bytes
    second: bytes
    proven: bool
    why: str = ""


def verify_signed_checkpoint(signed: SignedCheckpoint, trust: Trust) -> Checkpoint:
    """The checkpoint that an attested enclave has signed, by one's own trust.

    Raises: Refused (result-signature, binding, those of `verify_credentials`); MalformedInput.
    """
    credentials = verify_credentials(signed.answer, channel=signed.channel, chaincode=signed.chaincode, trust=trust)
    descriptor = credentials.descriptor
    try:
        statement = verify_statement(signed.statement, signed.signature, descriptor.result_key)
        checkpoint = statement.checkpoint
        about = statement.genesis_hash, statement.channel, statement.chaincode, statement.key_set_id
    except MalformedInput:
        committed = verify_commit_statement(signed.statement, signed.signature, descriptor.result_key)
        checkpoint = committed.checkpoint
        about = committed.genesis_hash, committed.channel, committed.chaincode, committed.key_set_id
    wanted = descriptor.genesis_hash, descriptor.channel, descriptor.chaincode, descriptor.key_set_id
    if checkpoint is None or about != wanted:
        raise Refused("statement refused: it names no checkpoint of this channel", reason="binding")
    return checkpoint


def find_forks(ours: Known, theirs: Known, trust: Trust | None) -> list[Fork]:
    """Heights that two clients know with different hashes, ascending; proven as far as `trust` goes (None: not)."""
    found = []
    for height, first, second in forks(ours.checkpoints, theirs.checkpoints):
        why = "nothing was said to be trusted" if trust is None else ""
        if trust is not None:
            why = _unproven(ours, height, first, trust) or _unproven(theirs, height, second, trust)
        found.append(Fork(height, first, second, proven=not why, why=why))
    return found


def _unproven(known: Known, height: int, block_hash: bytes, trust: Trust) -> str:
    """Why one side is its owner's word alone; nothing if an enclave has signed it."""
    signed = known.signed.get(height)
    if signed is None:
        return "no signed statement was kept for this height"
    try:
        checkpoint = verify_signed_checkpoint(signed, trust)
    except CloisterError as error:
        return error.message
    return "" if checkpoint == Checkpoint(height, block_hash) else "the statement names another checkpoint"
