"""What an attacker tries beside honest calls, with a host and members of its own: rows B1 to B9, P2, P3 and P10."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloister.client.confidential import ConfidentialResult
from cloister.client.results import Expectation, PendingOutcome, verify_result
from cloister.errors import CloisterError, MalformedInput, Refused
from cloister.fabric.proposal import NONCE_BYTES, build_proposal, compute_transaction_id, parse_signed_proposal
from cloister.fabric.proposal import encode_signed_proposal as encode_signed
from cloister.trusted.protocol.committed import decode_committed_outcome
from cloister.trusted.protocol.hpke import SEED_BYTES, HpkeKey
from cloister.trusted.protocol.key_set import parse_descriptor, sign_descriptor
from cloister.trusted.protocol.request import RESPONSE_KEY_BYTES, Request, seal_request
from cloister.trusted.protocol.sealing import Place, open_response
from cloister.wire.messages import Opened, Result

from .attacks import Adversary
from .channel import make_authority
from .confidential import Call, Client, Proceed
from .host import HONEST, Execution, Host
from .local_gateway import assemble, response_payload
from .signers import Signer, Wanted

ALTERED = 16
"""Bytes of a proposal that are altered, one at a time."""


class _Capturing(Adversary):
    """Keeps the signed proposals of each call, and tries something with them afterwards."""

    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self._captured: dict[str, bytes] = {}

    def proposal(self, signed_proposal: bytes) -> bytes:
        self._captured[parse_signed_proposal(signed_proposal).transaction_id] = signed_proposal
        return signed_proposal

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        self._captured.clear()
        height = self.channel.height
        result = await proceed()
        for signed in list(self._captured.values()):
            if self.strikes():
                for host in self.channel.hosts:
                    await self.attempt(call, signed, host, height)
        return result

    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        """`height`: of the channel as the call began."""

    async def must_refuse(self, call: Call, signed: bytes, host: Host, what: str) -> None:
        """Whatever an enclave makes of this, no result may come of it."""
        execution = await host.execute(signed, behaviour=HONEST)
        if isinstance(execution.outcome, Result):
            self.accepted(f"{what}: the enclave ran {call.function}")


class RequestReplayed(_Capturing):
    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        thief = self.channel.client("thief", call.client.msp_id).signer
        sealed = parse_signed_proposal(signed).arguments[0]
        await self.must_refuse(
            call, propose(self.channel.name, self.channel.chaincode, thief, sealed), host, "replayed"
        )
        own = propose(self.channel.name, self.channel.chaincode, call.client.signer, sealed)
        await self.must_refuse(call, own, host, "replayed under another transaction id")


class CreatorForged(_Capturing):
    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        thief, name = self.channel.client("thief", call.client.msp_id).signer, self.channel.chaincode
        without_key = Signer(call.client.signer.creator, thief.key)
        self_made = make_authority(call.client.msp_id).issue(Wanted("self-made", ("client",)))
        for forger in (without_key, self_made):
            nonce = os.urandom(NONCE_BYTES)
            sealed = await seal(call.client, Request(call.function, encoded(call), os.urandom(32)), nonce, forger)
            forged = propose(self.channel.name, name, forger, sealed, nonce=nonce)
            await self.must_refuse(call, forged, host, "a forged creator")


class RequestAltered(_Capturing):
    """A byte here and there; whatever still parses to another proposal must not run."""

    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        for position in range(0, len(signed), max(1, len(signed) // ALTERED)):
            altered = signed[:position] + bytes([signed[position] ^ 1]) + signed[position + 1 :]
            execution = await host.execute(altered, behaviour=HONEST)
            if isinstance(execution.outcome, Result):
                self.accepted(f"altered at byte {position}: the enclave ran {call.function}")


class CalledThroughAnother(_Capturing):
    """A peer hands the outer proposal on to whatever chaincode is called, so this is what a host would show."""

    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        sealed = parse_signed_proposal(signed).arguments[0]
        outer = propose(self.channel.name, "another", call.client.signer, sealed)
        await self.must_refuse(call, outer, host, "called by another chaincode")


class RunAgain(_Capturing):
    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        first, second = [await host.execute(signed, height=height, behaviour=HONEST) for _ in range(2)]
        if first.outcome != second.outcome:
            self.leaked(f"{call.function} run again on one snapshot gives another result: it can be drawn anew")


class OtherSnapshot(_Capturing):
    async def attempt(self, call: Call, signed: bytes, host: Host, height: int) -> None:
        found = [await host.execute(signed, height=at, behaviour=HONEST) for at in (height, height - 1)]
        first, second = (dict(item.outcome.puts) if isinstance(item.outcome, Result) else {} for item in found)
        if found[0].answers != found[1].answers and values_of(found[0]) != values_of(found[1]):
            for key in set(first) & set(second):
                if first[key] == second[key]:
                    self.leaked(f"{call.function} on two snapshots: two ciphertexts of one key stream")


class NeverSubmitted(Adversary):
    """`told`: what is readable of transactions that were endorsed and never submitted. Whether it may be, depends on
    the contract: `assert_withstands` compares it across secrets."""

    def __init__(self, after: int = 0) -> None:
        super().__init__(after)
        self.told: list[tuple[str, bytes]] = []

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        if call.kind == "submit" and self.strikes():
            nonce, response_key = os.urandom(NONCE_BYTES), os.urandom(RESPONSE_KEY_BYTES)
            request = Request(call.function, encoded(call), response_key)
            sealed = await seal(call.client, request, nonce, call.client.signer)
            signed = propose(self.channel.name, self.channel.chaincode, call.client.signer, sealed, nonce=nonce)
            for host in self.channel.hosts:
                execution = await host.execute(signed, behaviour=HONEST)
                if isinstance(execution.outcome, Result):
                    await self._read(call, signed, execution.outcome, response_key, host)
        return await proceed()

    async def _read(self, call: Call, signed: bytes, result: Result, response_key: bytes, host: Host) -> None:
        proposal = parse_signed_proposal(signed)
        contract = await call.client.contract()
        expectation = Expectation(
            descriptor=contract.credentials.descriptor,
            transaction_id=proposal.transaction_id,
            proposal_hash=proposal.proposal_hash,
            creator=proposal.creator,
            sealed_request=proposal.arguments[0],
            response_key=response_key,
        )
        outcome = verify_result(result.payload, expectation).outcome
        if outcome is not None:
            self.told.append((call.function, outcome.payload + outcome.message.encode()))
        if isinstance(host.open(proposal.transaction_id, self.channel.forged.blocks[-1]), Opened):
            self.leaked(f"{call.function} was opened and never submitted")


class Evaluated(NeverSubmitted):
    """The same by the Gateway's evaluate: whatever the client makes of it, the enclave has signed a transaction."""

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        if call.kind == "submit" and self.strikes():
            contract = await call.client.contract()
            try:
                result = await contract.evaluate(call.function, *call.arguments)
                self.told.append((call.function, result.payload))
            except Refused:
                pass  # revealed on commit: nothing to read
            except CloisterError as error:
                self.told.append((call.function, error.message.encode()))
        return await proceed()


class OpenedByAnother(Adversary):
    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        result = await proceed()
        if call.kind == "submit" and self.strikes():
            other = next(host.msp_id for host in self.channel.hosts if host.msp_id != call.client.msp_id)
            pending = PendingOutcome(result.transaction_id, result.verified.statement.response_hash, os.urandom(32))
            try:
                opened = await self.channel.client("thief", other).open(pending)
                self.leaked(f"another member read the outcome of {call.function}: {opened.outcome.payload!r}")
            except (Refused, MalformedInput):
                pass
        return result


class KeysSwapped(Adversary):
    def key_set(self, answer: bytes) -> bytes:
        if not self.strikes():
            return answer
        document = json.loads(answer)
        descriptor = parse_descriptor(base64.b64decode(document["descriptor"]))
        own = replace(descriptor, request_key=HpkeKey(os.urandom(SEED_BYTES)).public_bytes)
        signed = sign_descriptor(own, Ed25519PrivateKey.generate())
        return json.dumps({**document, "descriptor": base64.b64encode(signed).decode("ascii")}).encode()


class TwoRequestsOneId(Adversary):
    """The harmless one calls a function that there is not; the other one is never committed."""

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        if call.kind == "submit" and self.strikes():
            await self._attempt(call)
        return await proceed()

    async def _attempt(self, call: Call) -> None:
        nonce, response_key, signer = os.urandom(NONCE_BYTES), os.urandom(32), call.client.signer
        runs = []
        for request in (
            Request("no_such_function", (), os.urandom(32)),
            Request(call.function, encoded(call), response_key),
        ):
            sealed = await seal(call.client, request, nonce, signer)
            signed = propose(self.channel.name, self.channel.chaincode, signer, sealed, nonce=nonce)
            executions = [await host.execute(signed, behaviour=HONEST) for host in self.channel.hosts]
            envelope = self._endorsed(signed, executions[0], signer)
            if not envelope:
                return
            runs.append(envelope)
        harmless, wanted = runs
        self.channel.order(harmless)
        self.channel.cut()
        self._open(call, compute_transaction_id(nonce, signer.creator), wanted, response_key)

    def _endorsed(self, signed: bytes, execution: Execution, signer: Signer) -> bytes:
        """A whole transaction of it, empty if the enclave refused."""
        result = execution.outcome
        if not isinstance(result, Result):
            return b""
        results = execution.simulation.results(self.channel.chaincode, result)
        payload = response_payload(parse_signed_proposal(signed), result, results, chaincode=self.channel.chaincode)
        envelope = assemble(signed, payload, list(self.channel.forged.peers))
        envelope.signature = signer.sign(envelope.payload)
        encoded: bytes = envelope.SerializeToString()
        return encoded

    def _open(self, call: Call, transaction_id: str, wanted: bytes, response_key: bytes) -> None:
        """Out of the block, and out of the transaction that was never ordered."""
        block = self.channel.block_of(transaction_id) or b""
        for opened in (
            host.open(transaction_id, brought) for host in self.channel.hosts for brought in (block, wanted)
        ):
            if not isinstance(opened, Opened):
                continue
            ciphertext = decode_committed_outcome(opened.payload).ciphertext
            try:
                open_response(
                    response_key=response_key,
                    place=Place(self.channel.forged.genesis_hash, self.channel.name, self.channel.chaincode),
                    transaction_id=transaction_id,
                    sealed=ciphertext,
                )
                self.leaked(f"{call.function} was opened though another request was committed")
            except Refused:
                pass


class EqualRequests(Adversary):
    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        if call.kind == "submit" and self.strikes():
            nonce, signer, found = os.urandom(NONCE_BYTES), call.client.signer, []
            for _ in range(2):
                sealed = await seal(call.client, Request(call.function, encoded(call), os.urandom(32)), nonce, signer)
                signed = propose(self.channel.name, self.channel.chaincode, signer, sealed, nonce=nonce)
                outcome = (await self.channel.hosts[0].execute(signed, behaviour=HONEST)).outcome
                found.append(dict(outcome.puts) if isinstance(outcome, Result) else {})
            if any(found[1].get(key) == value for key, value in found[0].items()):
                self.leaked(f"{call.function}: equal values under one transaction id are visibly equal")
        return await proceed()


def encoded(call: Call) -> tuple[bytes, ...]:
    """A call's arguments as they travel."""
    return tuple(item.encode() if isinstance(item, str) else item for item in call.arguments)


def values_of(execution: Execution) -> list[object]:
    """What the peer answered, without what the ledger enclave said to it."""
    return [replace(item, ledger=b"") for item in execution.answers]


async def seal(client: Client, request: Request, nonce: bytes, signer: Signer) -> bytes:
    """A request sealed as `client` would, for a transaction of `signer`."""
    descriptor = (await client.contract()).credentials.descriptor
    transaction_id = compute_transaction_id(nonce, signer.creator)
    return seal_request(request, descriptor, transaction_id=transaction_id, creator=signer.creator)


def propose(channel: str, chaincode: str, signer: Signer, argument: bytes, *, nonce: bytes | None = None) -> bytes:
    """A signed proposal with one argument."""
    proposal = build_proposal(
        channel=channel,
        chaincode=chaincode,
        arguments=[argument],
        creator=signer.creator,
        nonce=nonce or os.urandom(NONCE_BYTES),
        timestamp_ns=1_700_000_000_000_000_000,
    )
    return encode_signed(proposal.encoded, signer.sign(proposal.encoded))
