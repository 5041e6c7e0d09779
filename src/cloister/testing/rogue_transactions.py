"""What colluding endorsers and orderers do to a channel: rows A7 to A12, A15, B4, B10, E4, P1 and P6."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.client.confidential import ConfidentialResult
from cloister.errors import CommitRefused
from cloister.fabric.block import parse_block
from cloister.fabric.proposal import ParsedProposal
from cloister.wire.messages import Opened

from .attacks import Adversary
from .blocks import bend_block, make_block
from .confidential import Call, Proceed

RwsetBend = Callable[[Any], None]
"""Changes the chaincode's KVRWSet."""


class _Rogue(Adversary):
    """A valid transaction of the endorsers' own after each call that gives an opportunity."""

    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self._seen: set[tuple[str, bytes | None]] = set()
        self.transactions: list[str] = []

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        result = await proceed()
        writes = [item for item in self.writes() if item not in self._seen]
        if writes and self.strikes():
            self._seen.update(writes)
            self.transactions.append(self.channel.rogue(*writes))
        return result

    @abstractmethod
    def writes(self) -> list[tuple[str, bytes | None]]:
        """What to write (None deletes)."""

    def present(self) -> list[str]:
        """Keys that are there."""
        return self.channel.state.keys(self.channel.height)


class ValuePutBack(_Rogue):
    def writes(self) -> list[tuple[str, bytes | None]]:
        found: list[tuple[str, bytes | None]] = []
        for key in self.present():
            history = self.channel.state.history(key)
            older = [item.value for item in history[:-1] if item.value not in (None, history[-1].value)]
            if older and (key, history[-1].value) not in self._seen:
                found.append((key, older[-1]))
        return found


class ValueWrittenAgain(_Rogue):
    def writes(self) -> list[tuple[str, bytes | None]]:
        entries = [(key, self.channel.state.value(key, self.channel.height)) for key in self.present()]
        return [(key, entry.value) for key, entry in entries if entry is not None]


class ValueDeleted(_Rogue):
    def writes(self) -> list[tuple[str, bytes | None]]:
        return [(key, None) for key in self.present()]


class _BentResult(Adversary):
    """All endorsers sign another read/write set than the enclave's."""

    def endorsed(self, proposal: ParsedProposal, payload: bytes) -> bytes:
        bent = bend_results(payload, self.channel.chaincode, self.bend)
        return bent if bent != payload and self.strikes() else payload

    @abstractmethod
    def bend(self, part: Any) -> None:
        """Change the KVRWSet, or leave it: nothing to attack."""


class WritesCut(_BentResult):
    def bend(self, part: Any) -> None:
        if part.writes:
            del part.writes[-1]


class WritesAdded(_BentResult):
    def bend(self, part: Any) -> None:
        if part.writes:
            part.writes.add(key="zz" * 32, value=part.writes[0].value)


class ReadsStripped(_BentResult):
    """On the snapshot of a block ago, so that what was read may not hold any more."""

    def snapshot(self, height: int) -> int:
        return height - 1

    def bend(self, part: Any) -> None:
        del part.reads[:]
        del part.range_queries_info[:]


class ResultSpliced(Adversary):
    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self._earlier = b""

    def endorsed(self, proposal: ParsedProposal, payload: bytes) -> bytes:
        message = proposal_response_pb2.ProposalResponsePayload.FromString(payload)
        action = proposal_pb2.ChaincodeAction.FromString(message.extension)
        earlier, self._earlier = self._earlier, action.response.payload
        if not earlier or not self.strikes():
            return payload
        action.response.payload = earlier
        message.extension = action.SerializeToString()
        bent: bytes = message.SerializeToString()
        return bent


class OrderedInvalid(Adversary):
    """With one endorsement missing the transaction is in a block and not valid; then its outcome is asked for."""

    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self._broken: list[str] = []

    def ordered(self, envelope: bytes) -> bytes:
        if not self.strikes():
            return envelope
        outer = common_pb2.Envelope.FromString(envelope)
        payload = common_pb2.Payload.FromString(outer.payload)
        transaction = transaction_pb2.Transaction.FromString(payload.data)
        action = transaction_pb2.ChaincodeActionPayload.FromString(transaction.actions[0].payload)
        action.action.endorsements[0].signature = b"no signature"
        transaction.actions[0].payload = action.SerializeToString()
        payload.data = transaction.SerializeToString()
        creator = common_pb2.SignatureHeader.FromString(payload.header.signature_header).creator
        signer = self.channel.signer_of(creator)  # a client that takes part
        content = payload.SerializeToString()
        bent: bytes = common_pb2.Envelope(payload=content, signature=signer.sign(content)).SerializeToString()
        return bent

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        try:
            return await proceed()
        except CommitRefused as refused:
            block = self.channel.block_of(refused.transaction_id)
            for host in self.channel.hosts if block is not None else ():
                if isinstance(host.open(refused.transaction_id, block or b""), Opened):
                    self.leaked(f"the outcome of {call.function} was opened though its transaction is not valid")
            raise


class _BentBlocks(Adversary):
    def blocks(self, blocks: Sequence[bytes]) -> Sequence[bytes]:
        found: list[bytes] = []
        for block in blocks:
            found += self.bend(block) if self.strikes() else [block]
        return found

    @abstractmethod
    def bend(self, block: bytes) -> list[bytes]:
        """What the ledger enclave gets instead."""


class BlockDropped(_BentBlocks):
    def bend(self, block: bytes) -> list[bytes]:
        return [] if self.struck == 1 else [block]


class LedgerBehind(_BentBlocks):
    """No block comes any more."""

    def bend(self, block: bytes) -> list[bytes]:
        return []


class BlockRepeated(_BentBlocks):
    def bend(self, block: bytes) -> list[bytes]:
        return [block, block]


class BlockAltered(_BentBlocks):
    def bend(self, block: bytes) -> list[bytes]:
        return [bend_block(block, lambda message: message.data.data.append(message.data.data[0]))]


class BlockOfAPeer(_BentBlocks):
    def bend(self, block: bytes) -> list[bytes]:
        parsed = parse_block(block)
        return [make_block(parsed.number, parsed.previous_hash, parsed.transactions, self.channel.forged.peers[:1])]


class Fork(_BentBlocks):
    def bend(self, block: bytes) -> list[bytes]:
        parsed, forged = parse_block(block), self.channel.forged
        other = [forged.put(("elsewhere", b"value"), chaincode="plain").build()]
        return [make_block(parsed.number, parsed.previous_hash, other, [forged.orderer])]


class FlagsFlipped(_BentBlocks):
    def bend(self, block: bytes) -> list[bytes]:
        def flip(message: Any) -> None:
            message.metadata.metadata[2] = bytes([255]) * len(message.data.data)

        return [bend_block(block, flip)]


class LedgerSetBack(Adversary):
    """Before a call, one that stands a block lower takes over: as after a restart from an old checkpoint."""

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        if self.strikes():
            ledger = self.channel.new_ledger()
            ledger.follow(self.channel.forged.blocks[1:-1])
            self.channel.replace_ledger(ledger)
        return await proceed()


def bend_results(payload: bytes, chaincode: str, bend: RwsetBend) -> bytes:
    """A serialised `protos.ProposalResponsePayload` after a change of the chaincode's KVRWSet."""
    message = proposal_response_pb2.ProposalResponsePayload.FromString(payload)
    action = proposal_pb2.ChaincodeAction.FromString(message.extension)
    results = rwset_pb2.TxReadWriteSet.FromString(action.results)
    for space in results.ns_rwset:
        if space.namespace == chaincode:
            part = kv_rwset_pb2.KVRWSet.FromString(space.rwset)
            before = part.SerializeToString()
            bend(part)
            if part.SerializeToString() == before:
                return payload
            space.rwset = part.SerializeToString()
    action.results = results.SerializeToString()
    message.extension = action.SerializeToString()
    bent: bytes = message.SerializeToString()
    return bent
