"""The enclave registry chaincode: attested enclaves, key sets and wrapped keys of a channel's confidential chaincode.

Trust level: none. It refuses what honest endorsers would refuse, deterministically; colluding endorsers can write
anything into its state. Arguments and results carry bytes as base64 text, ids as lower-case hex.

Rules, each the answer to an attack: the appraisal policy is set once · a registration's evidence must satisfy it, name
this channel (by genesis hash), registry and the *committed* definition's sequence, and its measurement must be that
definition's version · the registering client must belong to the MSP that the evidence names · the first key set of a
sequence wins, later ones are refused · a key export must name registered enclaves and be signed by the exporter · an
enclave is revoked, for good, by an administrator of its own organisation or by those of more than half of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from fabric_protos.peer.lifecycle import lifecycle_pb2

from cloister.contract import Contract, ResponseCode, TransactionContext, TransactionError, query
from cloister.errors import Refused
from cloister.fabric.proposal import parse_signed_proposal
from cloister.trusted.attest.appraise import Binding, Verdict, appraise, require_binding
from cloister.trusted.attest.evidence import decode_attested_data, decode_endorsements, decode_evidence
from cloister.trusted.attest.policy import ReferenceValues, parse_policy
from cloister.trusted.chaincode.handover import MAX_EXPORT_BYTES, ExportScope, verify_export
from cloister.trusted.protocol.key_set import parse_descriptor, verify_descriptor

POLICY = "policy"
GENESIS = "genesis"
LEDGER = "ledger"
ENCLAVE = "enclave"
KEY_SET = "key-set"
EXPORT = "export"
REVOCATION = "revocation"
"""(REVOCATION, chaincode, evidence id, MSP ID) → transaction in which that organisation asked for it."""
REVOKED = "revoked"
"""(REVOKED, chaincode, signing key in hex) → transaction; ledger enclaves read it."""
_ADMINISTRATOR = "admin"
"""The organisational unit of administrators, as Fabric's NodeOUs name it unless configured otherwise."""


@dataclass(frozen=True, slots=True)
class _Definition:
    """The committed definition of a confidential chaincode."""

    sequence: int
    measurement: bytes


class EnclaveRegistry(Contract):
    """See the module's docstring."""

    Name = "EnclaveRegistry"

    async def configure(self, ctx: TransactionContext, policy: str, genesis_hash: str, ledger_measurement: str) -> str:
        """Set the channel's appraisal policy (JSON), genesis block hash and ledger enclave's measurement (both hex).

        Once and for all; again is harmless. They are the caller's claims: peers refuse to be asked for blocks from
        within chaincode (2.5.9 core/scc/qscc). Wrong ones make the registry useless and nothing else: they stand in
        every enclave's evidence, and every client compares them with its own.
        """
        stub = ctx.get_stub()
        wanted = {
            POLICY: parse_policy(policy.encode()).encode(),
            GENESIS: _hash(genesis_hash, "genesis hash"),
            LEDGER: _hash(ledger_measurement, "ledger measurement"),
        }
        for key, value in wanted.items():
            present = await stub.get_state(key)
            if present and present != value:
                raise TransactionError(f"the registry is configured already, with another {key}")
            if not present:
                await stub.put_state(key, value)
        return "OK"

    async def register(
        self, ctx: TransactionContext, chaincode: str, evidence: str, endorsements: str, descriptor: str = ""
    ) -> str:
        """Register an attested enclave; the first one brings the signed descriptor of the key set it made.

        After an upgrade an enclave registers first without one, so that it can be given the keys so far.
        """
        stub = ctx.get_stub()
        definition = await _definition(ctx, chaincode)
        verdict = await self._appraise(ctx, chaincode, definition, evidence, endorsements)
        if verdict.attested.msp_id != ctx.get_client_identity().get_mspid():
            raise TransactionError("registration refused: the evidence names another MSP than the caller's")
        key_set_key = stub.create_composite_key(KEY_SET, [chaincode, str(definition.sequence)])
        key_set_present = bool(await stub.get_state(key_set_key))
        if descriptor:
            if key_set_present:
                raise TransactionError("registration refused: this definition has a key set already")
            _check_descriptor(_decode(descriptor, "descriptor"), verdict)
            # The bytes themselves: the ledger enclave reads them, and counts their first write only.
            await stub.put_state(key_set_key, _decode(descriptor, "descriptor"))
        elif not key_set_present and definition.sequence == 1:
            raise TransactionError("registration refused: the first enclave of a definition brings its key set")
        enclave = {
            "evidence": evidence,
            "endorsements": endorsements,
            "msp_id": verdict.attested.msp_id,
            "kind": verdict.kind,
            "status": verdict.status,
            "measurement": verdict.measurement.hex(),
            "transaction_id": stub.get_txid(),
        }
        key = _enclave_key(ctx, chaincode, definition.sequence, verdict.evidence_id.hex())
        await stub.put_state(key, json.dumps(enclave, sort_keys=True))
        return verdict.evidence_id.hex()

    async def put_export(
        self,
        ctx: TransactionContext,
        chaincode: str,
        exporter: str,
        newcomer: str,
        export: str,
        exporter_sequence: int = 0,
    ) -> str:
        """Post the keys that one registered enclave wrapped to another; `exporter_sequence` 0: of the same definition.

        Keys of an earlier definition are posted for the first enclave after an upgrade.
        """
        stub = ctx.get_stub()
        definition = await _definition(ctx, chaincode)
        encoded = _decode(export, "export")
        if len(encoded) > MAX_EXPORT_BYTES:
            raise TransactionError("key export refused: too long")
        sequence = exporter_sequence or definition.sequence
        exporter_record = await self._enclave(ctx, chaincode, sequence, exporter)
        newcomer_record = await self._enclave(ctx, chaincode, definition.sequence, newcomer)
        descriptor = parse_descriptor(await self._key_set(ctx, chaincode, sequence))
        verdict = await self._appraise(
            ctx,
            chaincode,
            _Definition(sequence, descriptor.measurement),
            exporter_record["evidence"],
            exporter_record["endorsements"],
        )
        scope = ExportScope(
            genesis_hash=verdict.attested.genesis_hash,
            chaincode=chaincode,
            sequence=definition.sequence,
            key_set_id=descriptor.key_set_id,
            exporter=verdict.evidence_id,
            newcomer=decode_evidence(_decode(newcomer_record["evidence"], "evidence")).evidence_id,
        )
        verify_export(encoded, scope=scope, signing_key=verdict.attested.signing_key)
        record = {"exporter": exporter, "exporter_sequence": sequence, "export": export}
        key = stub.create_composite_key(EXPORT, [chaincode, str(definition.sequence), newcomer])
        await stub.put_state(key, json.dumps(record, sort_keys=True))
        return "OK"

    async def revoke(self, ctx: TransactionContext, chaincode: str, evidence_id: str, sequence: int = 0) -> str:
        """Ask that a registered enclave be believed no more; JSON: revoked, and which organisations have asked.

        Caller: an administrator, by its certificate's organisational unit. That of the enclave's own organisation is
        enough; else it takes more than half of the organisations that have enclaves of this definition. Nothing takes
        it back: an enclave with fresh keys may be registered instead.
        """
        stub, caller = ctx.get_stub(), ctx.get_client_identity()
        if not caller.has_organizational_unit(_ADMINISTRATOR):
            raise TransactionError("revocation refused: only administrators may revoke")
        number = sequence or (await _definition(ctx, chaincode)).sequence
        record = await self._enclave(ctx, chaincode, number, evidence_id)
        own = caller.get_mspid()
        asked = {own}
        async for row in await stub.get_state_by_partial_composite_key(REVOCATION, [chaincode, evidence_id]):
            asked.add(stub.split_composite_key(row.key)[1][-1])
        organisations = set()
        async for row in await stub.get_state_by_partial_composite_key(ENCLAVE, [chaincode, str(number)]):
            organisations.add(json.loads(row.value)["msp_id"])
        stub_key = stub.create_composite_key(REVOCATION, [chaincode, evidence_id, own])
        await stub.put_state(stub_key, stub.get_txid())
        revoked = record["msp_id"] in asked or 2 * len(asked & organisations) > len(organisations)
        if revoked:
            await stub.put_state(_revoked_key(ctx, chaincode, record["evidence"]), stub.get_txid())
        return json.dumps({"revoked": revoked, "asked": sorted(asked)}, sort_keys=True)

    @query
    async def get_configuration(self, ctx: TransactionContext) -> str:
        """JSON: policy (text), genesis_hash and ledger_measurement (hex); all empty before `configure`."""
        stub = ctx.get_stub()
        configuration = {
            "policy": (await stub.get_state(POLICY)).decode(),
            "genesis_hash": (await stub.get_state(GENESIS)).hex(),
            "ledger_measurement": (await stub.get_state(LEDGER)).hex(),
        }
        return json.dumps(configuration, sort_keys=True)

    @query
    async def get_key_set(self, ctx: TransactionContext, chaincode: str) -> str:
        """JSON: sequence, version, descriptor, and the maker's evidence and endorsements, of the committed definition.

        descriptor and the rest are empty while the definition has no key set. `revoked`: whether its maker is.
        """
        definition = await _definition(ctx, chaincode)
        answer = {
            "sequence": definition.sequence,
            "version": definition.measurement.hex(),
            "descriptor": "",
            "evidence": "",
            "endorsements": "",
            "revoked": False,
        }
        key = ctx.get_stub().create_composite_key(KEY_SET, [chaincode, str(definition.sequence)])
        stored = await ctx.get_stub().get_state(key)
        if stored:
            maker = await self._enclave(ctx, chaincode, definition.sequence, parse_descriptor(stored).maker.hex())
            answer["descriptor"] = base64.b64encode(stored).decode("ascii")
            answer |= {name: maker[name] for name in ("evidence", "endorsements")}
            answer["revoked"] = await self._is_revoked(ctx, chaincode, maker["evidence"])
        return json.dumps(answer, sort_keys=True)

    @query
    async def list_enclaves(self, ctx: TransactionContext, chaincode: str, sequence: int = 0) -> str:
        """JSON list of the enclaves registered for a definition: evidence_id, what `register` stored, and `revoked`.

        `sequence` 0: the committed definition's, here and below.
        """
        stub = ctx.get_stub()
        number = sequence or (await _definition(ctx, chaincode)).sequence
        enclaves = []
        rows = await stub.get_state_by_partial_composite_key(ENCLAVE, [chaincode, str(number)])
        async for row in rows:
            _, parts = stub.split_composite_key(row.key)
            record = json.loads(row.value)
            revoked = await self._is_revoked(ctx, chaincode, record["evidence"])
            enclaves.append({"evidence_id": parts[-1], **record, "revoked": revoked})
        return json.dumps(enclaves, sort_keys=True)

    @query
    async def get_enclave(self, ctx: TransactionContext, chaincode: str, evidence_id: str, sequence: int = 0) -> str:
        """JSON: what `register` stored about one enclave."""
        number = sequence or (await _definition(ctx, chaincode)).sequence
        return json.dumps(await self._enclave(ctx, chaincode, number, evidence_id), sort_keys=True)

    @query
    async def get_export(self, ctx: TransactionContext, chaincode: str, newcomer: str) -> str:
        """JSON: export, exporter (evidence id) and exporter_sequence posted for a newcomer; empty if there is none."""
        definition = await _definition(ctx, chaincode)
        key = ctx.get_stub().create_composite_key(EXPORT, [chaincode, str(definition.sequence), newcomer])
        stored = await ctx.get_stub().get_state(key)
        return stored.decode() or json.dumps({"export": "", "exporter": "", "exporter_sequence": 0})

    async def _appraise(
        self, ctx: TransactionContext, chaincode: str, definition: _Definition, evidence: str, endorsements: str
    ) -> Verdict:
        """Appraise evidence by the channel's policy and the committed definition."""
        stub = ctx.get_stub()
        policy = await stub.get_state(POLICY)
        if not policy:
            raise TransactionError("the registry is not configured: call configure first")
        verdict = appraise(
            decode_evidence(_decode(evidence, "evidence")),
            decode_endorsements(_decode(endorsements, "endorsements")),
            parse_policy(policy),
            ReferenceValues(chaincode=frozenset({definition.measurement})),
            now_s=stub.get_tx_timestamp().seconds,
        )
        binding = Binding(
            channel=stub.get_channel_id(),
            genesis_hash=await stub.get_state(GENESIS),
            chaincode=chaincode,
            sequence=definition.sequence,
            registry=_own_name(ctx),
        )
        require_binding(verdict, binding)
        if verdict.attested.ledger_measurement != await stub.get_state(LEDGER):
            raise TransactionError("registration refused: the enclave obeys another ledger enclave")
        return verdict

    async def _is_revoked(self, ctx: TransactionContext, chaincode: str, evidence: str) -> bool:
        return bool(await ctx.get_stub().get_state(_revoked_key(ctx, chaincode, evidence)))

    async def _enclave(
        self, ctx: TransactionContext, chaincode: str, sequence: int, evidence_id: str
    ) -> dict[str, str]:
        stored = await ctx.get_stub().get_state(_enclave_key(ctx, chaincode, sequence, evidence_id))
        if not stored:
            raise TransactionError("no such enclave is registered for the committed definition")
        record: dict[str, str] = json.loads(stored)
        return record

    async def _key_set(self, ctx: TransactionContext, chaincode: str, sequence: int) -> bytes:
        stored = await ctx.get_stub().get_state(
            ctx.get_stub().create_composite_key(KEY_SET, [chaincode, str(sequence)])
        )
        if not stored:
            raise TransactionError("this definition has no key set yet")
        return stored


def _enclave_key(ctx: TransactionContext, chaincode: str, sequence: int, evidence_id: str) -> str:
    return ctx.get_stub().create_composite_key(ENCLAVE, [chaincode, str(sequence), evidence_id])


def _revoked_key(ctx: TransactionContext, chaincode: str, evidence: str) -> str:
    """By the attested signing key: an enclave that makes keys is attested twice, with one signing key."""
    attested = decode_attested_data(decode_evidence(_decode(evidence, "evidence")).attested_data)
    return ctx.get_stub().create_composite_key(REVOKED, [chaincode, attested.signing_key.hex()])


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TransactionError(f"{what}: expected base64") from error


def _hash(text: str, what: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise TransactionError(f"{what}: expected 64 lower-case hex digits")
    return bytes.fromhex(text)


def _check_descriptor(signed: bytes, verdict: Verdict) -> None:
    """The descriptor must be signed by the attested key and say the same as the attested data."""
    attested = verdict.attested
    descriptor = verify_descriptor(signed, signing_key=attested.signing_key, maker=verdict.evidence_id)
    expected = (
        attested.genesis_hash,
        attested.channel,
        attested.chaincode,
        attested.sequence,
        verdict.measurement,
        attested.key_set_id,
    )
    found = (
        descriptor.genesis_hash,
        descriptor.channel,
        descriptor.chaincode,
        descriptor.sequence,
        descriptor.measurement,
        descriptor.key_set_id,
    )
    if expected != found:
        raise Refused("key set refused: it differs from its maker's attested data", reason="descriptor")


async def _definition(ctx: TransactionContext, chaincode: str) -> _Definition:
    """The committed definition, read through the peer's own lifecycle chaincode in the same simulation.

    Its reads enter this transaction's read set, so a definition that changes meanwhile invalidates it.
    """
    arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=chaincode).SerializeToString()
    response = await ctx.get_stub().invoke_chaincode("_lifecycle", [b"QueryChaincodeDefinition", arguments])
    if response.status != ResponseCode.OK:
        raise TransactionError(f"chaincode {chaincode} is not committed on this channel")
    definition = lifecycle_pb2.QueryChaincodeDefinitionResult()
    definition.ParseFromString(response.payload)
    if definition.init_required:
        raise TransactionError(f"chaincode {chaincode}: definitions with init_required cannot be confidential")
    if not re.fullmatch("[0-9a-f]{64}", definition.version):
        raise TransactionError(
            f"chaincode {chaincode} is not confidential: the committed version is not a measurement (64 hex digits)"
        )
    return _Definition(definition.sequence, bytes.fromhex(definition.version))


def _own_name(ctx: TransactionContext) -> str:
    """The name under which this registry is deployed: the proposal's, which the endorsing peer has checked."""
    return parse_signed_proposal(ctx.get_stub().get_signed_proposal().SerializeToString()).spec_chaincode
