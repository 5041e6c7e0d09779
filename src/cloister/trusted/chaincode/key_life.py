"""When a key ring becomes this enclave's, and when it goes to another: always what the ledger enclave saw committed.

Trust level: trusted. Coroutines to be driven by `Task`; the caller checks afterwards that nothing changed meanwhile.
"First" is the first valid write in the channel's history: colluding endorsers may overwrite or delete it later, that
does not count. To another measurement keys go only by the upgrade policy.
"""

from __future__ import annotations

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.appraise import Verdict
from cloister.trusted.attest.evidence import decode_attested_data, decode_evidence
from cloister.trusted.protocol.questions import (
    AdministratorsAnswer,
    AskAdministrators,
    AskKeySet,
    AskRevoked,
    KeySetAnswer,
    RevokedAnswer,
)
from cloister.trusted.protocol.upgrade import EVERY_ORGANISATION, UpgradeApproval, approvers
from cloister.wire.messages import ExportKeys, ImportKeys

from .ask import TaskRefused
from .handover import MAX_EXPORT_BYTES, ExportScope, export_keys, import_keys
from .keys import KeyRing
from .ledger_session import LedgerSession
from .member import Member


async def require_first(ring: KeyRing, session: LedgerSession) -> None:
    """The ring's current key set is the first committed one of its sequence: its id, and the key that covers results.

    The id alone would not do: the ledger enclave cannot tell whether a result key belongs to it. Colluders could commit
    this enclave's own descriptor with a result key of theirs, and cover what they like between genuine results.

    Raises: Refused (reason: key-set; ledger-behind if none is committed yet).
    """
    await session.go_on_from_floor()
    _, answer = await session.ask(AskKeySet(ring.current.sequence), KeySetAnswer)
    if not answer.key_set_id:
        raise Refused("key set refused: none is committed yet", reason="ledger-behind")
    current = ring.current
    committed = answer.key_set_id, answer.measurement, answer.result_key
    if committed != (ring.key_set_id(current), current.measurement, current.result_public_key):
        raise Refused("key set refused: it was not the first one committed", reason="key-set")


async def require_no_earlier(sequence: int, session: LedgerSession, *, after: int) -> None:
    """Nothing was ever covered under a key set of a sequence above `after` and below this one.

    Else fresh keys would lose the state under those; and, signed by an older key set, they would never count. One that
    was never used may be passed over: whoever made it may have lost it, or keep it for himself.

    Raises: Refused(reason="earlier-keys").
    """
    for earlier in range(sequence - 1, after, -1):
        _, answer = await session.ask(AskKeySet(earlier), KeySetAnswer)
        if answer.key_set_id and answer.used:
            raise Refused(
                "keys refused: those of an earlier definition must be taken over first", reason="earlier-keys"
            )


async def export_ring(message: ExportKeys, member: Member, ring: KeyRing, session: LedgerSession) -> bytes:
    """The ring for an enclave of the definition that is committed now.

    Raises: Refused (reason: definition, revoked, ledger-behind, those of appraisals; upgrade, with the organisations
        that have not approved); MalformedInput.
    """
    await session.go_on_from_floor()
    sequence = decode_attested_data(decode_evidence(message.evidence).attested_data).sequence
    head, answer = await session.ask(AskKeySet(sequence), KeySetAnswer, any_definition=True)
    if sequence != head.sequence or sequence < member.attested.sequence or not answer.measurement:
        raise Refused("key export refused: not for the definition that is committed", reason="definition")
    newcomer = member.appraise_sibling(
        message.evidence,
        message.endorsements,
        sequence=sequence,
        measurement=answer.measurement,
        now_s=head.time_s,
    )
    await _require_listed(newcomer, session, any_definition=True)
    if answer.measurement != ring.current.measurement:
        await _require_upgrade(message.upgrade, member, sequence, answer.measurement, session)
    scope = _scope(member, sequence, ring, member.evidence.evidence_id, newcomer.evidence_id)
    return export_keys(ring, scope=scope, newcomer=newcomer, signing_key=member.keys.signing_key)


async def import_ring(message: ImportKeys, member: Member, earlier: KeyRing | None, session: LedgerSession) -> KeyRing:
    """A ring of this definition, or of an earlier one for an enclave that goes on with it after an upgrade.

    Raises: Refused (reason: export, key-set, key-ring, definition, revoked, those of appraisals); MalformedInput.
    """
    if len(message.export) > MAX_EXPORT_BYTES:
        raise MalformedInput("key export: too long", field="export")
    await session.go_on_from_floor()
    own = member.attested
    sequence = decode_attested_data(decode_evidence(message.exporter_evidence).attested_data).sequence
    if sequence > own.sequence:
        raise Refused("import refused: from a later definition", reason="definition")
    head, answer = await session.ask(AskKeySet(sequence), KeySetAnswer)
    if not answer.key_set_id:
        raise Refused("import refused: no key set is committed yet", reason="ledger-behind")
    exporter = member.appraise_sibling(
        message.exporter_evidence,
        message.exporter_endorsements,
        sequence=sequence,
        measurement=answer.measurement,
        now_s=head.time_s,
    )
    await _require_listed(exporter, session, any_definition=False)
    scope = ExportScope(
        genesis_hash=own.genesis_hash,
        chaincode=own.chaincode,
        sequence=own.sequence,
        key_set_id=answer.key_set_id,
        exporter=exporter.evidence_id,
        newcomer=member.evidence.evidence_id,
    )
    ring = import_keys(message.export, scope=scope, exporter=exporter, hpke_key=member.keys.hpke_key)
    if ring.current.sequence != sequence:
        raise Refused("import refused: keys of another definition", reason="key-ring")
    if ring.current.result_public_key != answer.result_key:
        raise Refused("import refused: results are covered by another key", reason="key-set")
    if earlier is not None and ring.current.sequence < earlier.current.sequence:
        raise Refused("import refused: older keys than those that are here", reason="key-ring")
    if earlier is not None and ring.name_key != earlier.name_key:
        for key_set in earlier.key_sets:
            _, held = await session.ask(AskKeySet(key_set.sequence), KeySetAnswer)
            if held.key_set_id == earlier.key_set_id(key_set) and held.used:
                raise Refused("import refused: other keys than before", reason="key-ring")
    return ring


async def _require_listed(enclave: Verdict, session: LedgerSession, *, any_definition: bool) -> None:
    """The registry has shown this enclave, and not revoked it. Keys for one that nobody sees nobody could revoke."""
    question = AskRevoked(enclave.attested.signing_key, enclave.evidence_id)
    _, answer = await session.ask(question, RevokedAnswer, any_definition=any_definition)
    if answer.revoked:
        raise Refused("keys refused: to or from an enclave that was revoked", reason="revoked")
    if not answer.registered:
        raise Refused("keys refused: to or from an enclave that is not registered yet", reason="ledger-behind")


async def _require_upgrade(
    encoded: bytes, member: Member, sequence: int, measurement: bytes, session: LedgerSession
) -> None:
    own = member.attested
    if own.upgrade_policy_hash != EVERY_ORGANISATION:
        raise Refused("key export refused: an upgrade policy that is not known", reason="upgrade")
    approval = UpgradeApproval(own.genesis_hash, own.chaincode, sequence, measurement)
    identities = approvers(encoded, approval) if encoded else ()
    _, answer = await session.ask(AskAdministrators(identities), AdministratorsAnswer, any_definition=True)
    missing = [msp_id for msp_id in answer.all if msp_id not in answer.signed]
    if missing or not answer.all:
        raise TaskRefused("upgrade", ", ".join(missing))


def _scope(member: Member, sequence: int, ring: KeyRing, exporter: bytes, newcomer: bytes) -> ExportScope:
    return ExportScope(
        genesis_hash=member.attested.genesis_hash,
        chaincode=member.attested.chaincode,
        sequence=sequence,
        key_set_id=ring.key_set_id(ring.current),
        exporter=exporter,
        newcomer=newcomer,
    )
