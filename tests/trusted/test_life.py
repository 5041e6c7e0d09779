"""From a new enclave to one with keys: what is handed to whom. Each attack has its honest twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cloister.errors import Refused
from cloister.trusted.attest.appraise import appraise
from cloister.trusted.attest.evidence import (
    KIND_SGX_DCAP,
    KIND_SIMULATION,
    Endorsements,
    Evidence,
    compute_report_data,
    decode_attested_data,
    decode_evidence,
)
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.measurement import compute_measurement
from cloister.trusted.attest.platform import make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy, ReferenceValues
from cloister.trusted.chaincode.contract_image import ContractImage
from cloister.trusted.chaincode.enclave import Enclave
from cloister.trusted.protocol.key_set import parse_descriptor, sign_descriptor, succeeds
from cloister.trusted.protocol.upgrade import UpgradeApproval, encode_approvals
from cloister.wire.messages import (
    Activate,
    AskLedger,
    Exported,
    ExportKeys,
    ImportKeys,
    Invoke,
    KeysMade,
    LedgerReplied,
    MakeKeys,
    Provision,
    Provisioned,
    Refusal,
    Restore,
    Sealed,
    Status,
)
from support.chain import LedgerDouble
from support.enclaves import (
    CHAINCODE,
    ENDORSEMENTS,
    GENESIS,
    Caller,
    Session,
    World,
    bring_up_first,
    bring_up_next,
    drive,
    load_sample,
    make_enclave,
    make_ledger,
    provision_message,
    settle,
    simulation_policy,
    status_of,
)
from support.replace import replaced

OTHER_SEED = bytes([9]) * 32


@dataclass
class First:
    """The first organisation's enclave, the keys it made, and the channel's ledger enclave."""

    enclave: Enclave
    made: KeysMade
    ledger: LedgerDouble


@pytest.fixture(scope="module")
def image() -> ContractImage:
    return load_sample("auction")


@pytest.fixture
def first(image: ContractImage) -> First:
    enclave, ledger = make_enclave(image), make_ledger()
    return First(enclave, bring_up_first(enclave, ledger), ledger)


def bring_up(first: First, newcomer: Enclave) -> bytes:
    return bring_up_next(first.enclave, first.made, newcomer, first.ledger)


def provisioned(image: ContractImage, first: First, message: Provision | None = None, **more: Any) -> Enclave:
    """A newcomer of Org2MSP with a session."""
    newcomer = make_enclave(image, **more)
    newcomer.handle(1, message or provision_message("Org2MSP"))
    first.ledger.connect(newcomer)
    return newcomer


def evidence_of(enclave: Enclave) -> Evidence:
    return decode_evidence(status_of(enclave).evidence)


def test_keys_reach_an_honest_newcomer(image: ContractImage, first: First) -> None:
    newcomer = make_enclave(image)
    bring_up(first, newcomer)
    assert status_of(newcomer).state == "ready"
    assert status_of(newcomer).key_set_id == status_of(first.enclave).key_set_id


def export_to(first: First, newcomer: Enclave, endorsements: bytes = ENDORSEMENTS) -> object:
    return drive(first.enclave, first.ledger, ExportKeys(status_of(newcomer).evidence, endorsements, b""))


def test_c1_another_measurement_gets_no_keys(first: First) -> None:
    newcomer = provisioned(load_sample("kv"), first)
    assert export_to(first, newcomer) == Refusal("measurement", "")


@pytest.mark.parametrize("field", ["channel", "chaincode", "registry", "genesis_hash", "sequence"])
def test_c1_evidence_for_elsewhere_gets_no_keys(image: ContractImage, first: First, field: str) -> None:
    elsewhere: dict[str, object] = {"genesis_hash": bytes(32), "sequence": 2}
    message = replaced(provision_message("Org2MSP"), **{field: elsewhere.get(field, "elsewhere")})
    newcomer = make_enclave(image)
    newcomer.handle(1, message)
    refused = "definition" if field == "sequence" else "binding"
    assert export_to(first, newcomer) == Refusal(refused, "")


def test_p9_an_enclave_given_another_policy_gets_no_keys(image: ContractImage, first: First) -> None:
    """The host hands a genuine enclave its own authority: the policy's hash in the evidence betrays it."""
    both = tuple(
        sorted({*simulation_policy().simulation_authorities, *simulation_policy(OTHER_SEED).simulation_authorities})
    )
    own_policy = AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=both)
    newcomer = provisioned(image, first, provision_message("Org2MSP", policy=own_policy))
    assert export_to(first, newcomer) == Refusal("policy", "")


def test_evidence_of_another_authority_gets_no_keys(image: ContractImage, first: First) -> None:
    newcomer = provisioned(image, first, seed=OTHER_SEED)
    assert export_to(first, newcomer) == Refusal("simulation-authority", "")


def test_p8_keys_of_an_attackers_choosing_are_not_imported(image: ContractImage, first: First) -> None:
    """Another, equally genuine enclave made keys too and exports them: not the set that was committed first."""
    rogue, elsewhere = make_enclave(image), make_ledger()
    rogue_made = bring_up_first(rogue, elsewhere)
    newcomer = provisioned(image, first)
    exported = drive(rogue, elsewhere, ExportKeys(status_of(newcomer).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, rogue_made.evidence, ENDORSEMENTS)
    assert drive(newcomer, first.ledger, message) == Refusal("export", "")
    assert status_of(newcomer).state == "provisioned"


def test_an_export_for_another_enclave_is_not_imported(image: ContractImage, first: First) -> None:
    intended, thief = provisioned(image, first), provisioned(image, first)
    exported = export_to(first, intended)
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, first.made.evidence, ENDORSEMENTS)
    assert drive(thief, first.ledger, message) == Refusal("export", "")
    assert isinstance(drive(intended, first.ledger, message), Sealed)


def test_an_export_signed_by_nobody_attested_is_not_imported(image: ContractImage, first: First) -> None:
    newcomer, other = provisioned(image, first), provisioned(image, first)
    exported = export_to(first, newcomer)
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, status_of(other).evidence, ENDORSEMENTS)
    assert drive(newcomer, first.ledger, message) == Refusal("export", "")


def test_c9_the_loser_of_the_race_for_the_first_keys_discards_its_own(image: ContractImage) -> None:
    ledger, winner, loser = make_ledger(), make_enclave(image), make_enclave(image)
    settle(loser, ledger, provision_message("Org2MSP"))
    assert isinstance(drive(loser, ledger, MakeKeys()), KeysMade)
    assert drive(loser, ledger, Activate()) == Refusal("ledger-behind", "")
    made = bring_up_first(winner, ledger)
    assert drive(loser, ledger, Activate()) == Refusal("key-set", "")
    bring_up_next(winner, made, loser, ledger)
    assert status_of(loser).key_set_id == status_of(winner).key_set_id


def test_p8_an_enclaves_own_key_set_committed_with_another_result_key_is_not_used(image: ContractImage) -> None:
    """Colluders put their result key into its descriptor, and show clients the genuine one later: both have one id."""
    ledger, maker, newcomer = make_ledger(), make_enclave(image), make_enclave(image)
    settle(maker, ledger)
    made = drive(maker, ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    forged = replaced(parse_descriptor(made.descriptor), result_key=IdentityKeys(OTHER_SEED).signing_public)
    ledger.chain.key_sets[1] = sign_descriptor(forged, IdentityKeys(OTHER_SEED).signing_key)
    assert drive(maker, ledger, Activate()) == Refusal("key-set", "")
    genuine = {1: made.descriptor}
    false, ledger.chain.key_sets = ledger.chain.key_sets, genuine
    assert isinstance(drive(maker, ledger, Activate()), Sealed)
    settle(newcomer, ledger, provision_message("Org2MSP"))
    exported = drive(maker, ledger, ExportKeys(status_of(newcomer).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, made.evidence, ENDORSEMENTS)
    ledger.chain.key_sets = false
    assert drive(newcomer, ledger, message) == Refusal("key-set", "")
    ledger.chain.key_sets = genuine
    assert isinstance(drive(newcomer, ledger, message), Sealed)


def test_c7_keys_of_a_definition_that_is_not_committed_go_nowhere(image: ContractImage, first: First) -> None:
    newcomer = provisioned(image, first, provision_message("Org2MSP", sequence=2))
    assert export_to(first, newcomer) == Refusal("definition", "")
    first.ledger.chain.definitions[2] = status_of(newcomer).measurement
    assert isinstance(export_to(first, newcomer), Exported)


def test_c7_nothing_is_exported_without_a_ledger_enclave(image: ContractImage, first: First) -> None:
    newcomer = provisioned(image, first)
    first.ledger.forget_sessions()
    assert export_to(first, newcomer) == Refusal("no-ledger", "")
    first.ledger.connect(first.enclave)
    assert isinstance(export_to(first, newcomer), Exported)


def test_c6_a_revoked_enclave_is_given_no_keys_and_none_are_taken_from_it(image: ContractImage, first: First) -> None:
    chain = first.ledger.chain
    revoked, honest = provisioned(image, first), provisioned(image, first)
    exported = export_to(first, honest)
    assert isinstance(exported, Exported)
    chain.revoked_enclaves.add(decode_attested_data(evidence_of(revoked).attested_data).signing_key)
    assert export_to(first, revoked) == Refusal("revoked", "")
    assert isinstance(export_to(first, honest), Exported)
    message = ImportKeys(exported.export, first.made.evidence, ENDORSEMENTS)
    chain.revoked_enclaves = {decode_attested_data(evidence_of(first.enclave).attested_data).signing_key}
    assert drive(honest, first.ledger, message) == Refusal("revoked", "")
    chain.revoked_enclaves.clear()
    assert isinstance(drive(honest, first.ledger, message), Sealed)


def test_c6_an_enclave_that_the_registry_never_showed_is_given_no_keys(image: ContractImage, first: First) -> None:
    """A host could have its enclave hand the keys to a second one of its own, which nobody could revoke."""
    newcomer = provisioned(image, first)
    first.ledger.chain.unregistered.add(evidence_of(newcomer).evidence_id)
    assert export_to(first, newcomer) == Refusal("ledger-behind", "")
    first.ledger.chain.unregistered.clear()
    assert isinstance(export_to(first, newcomer), Exported)


def upgraded(first: First, *, sample: str = "kv") -> Enclave:
    """Another measurement, committed by whoever satisfies LifecycleEndorsement; its enclave, with a session."""
    newcomer = provisioned(load_sample(sample), first, provision_message("Org2MSP", sequence=2))
    first.ledger.chain.definitions[2] = status_of(newcomer).measurement
    return newcomer


def approvals(first: First, newcomer: Enclave, administrators: list[Caller]) -> bytes:
    approval = UpgradeApproval(GENESIS, CHAINCODE, 2, status_of(newcomer).measurement)
    return encode_approvals([(item.creator, item.sign(approval.encode())) for item in administrators])


def test_p7_a_rogue_measurement_committed_by_a_majority_gets_no_keys(first: First) -> None:
    """And an upgrade that every organisation's administrator approved gets them, and goes on with the state."""
    newcomer = upgraded(first)
    chain = first.ledger.chain
    admins = [Caller("Org1MSP", "Admin1"), Caller("Org2MSP", "Admin2")]
    chain.administrators = {item.creator: item.msp_id for item in admins}
    evidence = status_of(newcomer).evidence
    wrong = encode_approvals([(item.creator, item.sign(b"something else")) for item in admins])
    strangers = approvals(first, newcomer, [Caller("Org1MSP"), Caller("Org2MSP")])
    for given, missing in (
        (b"", "Org1MSP, Org2MSP"),
        (approvals(first, newcomer, admins[:1]), "Org2MSP"),
        (wrong, "Org1MSP, Org2MSP"),
        (strangers, "Org1MSP, Org2MSP"),
        (approvals(first, newcomer, [admins[0]] * 2), "Org2MSP"),
    ):
        refused = drive(first.enclave, first.ledger, ExportKeys(evidence, ENDORSEMENTS, given))
        assert refused == Refusal("upgrade", missing)
    exported = drive(
        first.enclave, first.ledger, ExportKeys(evidence, ENDORSEMENTS, approvals(first, newcomer, admins))
    )
    assert isinstance(exported, Exported)
    old = status_of(first.enclave).evidence
    assert isinstance(drive(newcomer, first.ledger, ImportKeys(exported.export, old, ENDORSEMENTS)), Sealed)
    assert status_of(newcomer).state == "provisioned"
    made = drive(newcomer, first.ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    chain.key_sets[2] = made.descriptor
    assert isinstance(drive(newcomer, first.ledger, Activate()), Sealed)
    assert status_of(newcomer).state == "ready"


def test_c9_two_new_enclaves_racing_for_the_first_keys_after_an_upgrade_settle(first: First) -> None:
    """Both were given the old keys; the loser takes over the winner's key set and goes on with the same name key."""
    winner, loser = upgraded(first), upgraded(first)
    admins = [Caller("Org1MSP", "Admin1"), Caller("Org2MSP", "Admin2")]
    first.ledger.chain.administrators = {item.creator: item.msp_id for item in admins}
    for newcomer in (winner, loser):
        message = ExportKeys(status_of(newcomer).evidence, ENDORSEMENTS, approvals(first, newcomer, admins))
        exported = drive(first.enclave, first.ledger, message)
        assert isinstance(exported, Exported)
        old = status_of(first.enclave).evidence
        assert isinstance(drive(newcomer, first.ledger, ImportKeys(exported.export, old, ENDORSEMENTS)), Sealed)
    made, late = drive(winner, first.ledger, MakeKeys()), drive(loser, first.ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    assert isinstance(late, KeysMade)
    first.ledger.chain.key_sets[2] = made.descriptor
    assert isinstance(drive(winner, first.ledger, Activate()), Sealed)
    assert drive(loser, first.ledger, Activate()) == Refusal("key-set", "")
    assert isinstance(loser.handle(7, provision_message("Org2MSP", sequence=2)), Provisioned)
    first.ledger.connect(loser)
    exported = drive(winner, first.ledger, ExportKeys(status_of(loser).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    message_in = ImportKeys(exported.export, status_of(winner).evidence, ENDORSEMENTS)
    assert isinstance(drive(loser, first.ledger, message_in), Sealed)
    assert status_of(loser).state == "ready"
    assert status_of(loser).key_set_id == status_of(winner).key_set_id


def test_p7_after_an_upgrade_the_old_measurement_does_not_run_any_more(first: First) -> None:
    session = Session(first.enclave, parse_descriptor(first.made.descriptor), World(first.ledger.chain))
    session.world.ledger = first.ledger
    assert session.call("init", "house").outcome.status == 200
    upgraded(first)
    signed, _, _ = session.propose("create", "a")
    assert session.world.run(first.enclave, signed) == Refusal("definition", "")


def test_fresh_keys_are_not_made_where_those_of_an_earlier_definition_exist(image: ContractImage, first: First) -> None:
    """Else whoever comes first after an upgrade would lose the state, by accident or not."""
    newcomer = upgraded(first)
    assert drive(newcomer, first.ledger, MakeKeys()) == Refusal("earlier-keys", "")


def test_keys_that_skip_those_of_a_definition_in_between_are_not_made(image: ContractImage, first: First) -> None:
    """Signed by the key set before the last, they would never count, and their definition would be without keys."""
    enclave, chain = first.enclave, first.ledger.chain
    chain.definitions[3] = status_of(enclave).measurement
    chain.key_sets[2] = chain.key_sets[1]  # anything that counts
    chain.used = {1, 2}
    assert isinstance(enclave.handle(5, provision_message(sequence=3)), Provisioned)
    first.ledger.connect(enclave)
    assert drive(enclave, first.ledger, MakeKeys()) == Refusal("earlier-keys", "")
    chain.used = {1}  # nothing was ever covered under it: whoever has it keeps it for himself, or lost it
    assert isinstance(drive(enclave, first.ledger, MakeKeys()), KeysMade)


def test_older_keys_than_those_that_are_there_are_not_taken(image: ContractImage, first: First) -> None:
    """An organisation that kept an old enclave posts what it exports for a newcomer that has more."""
    chain = first.ledger.chain
    kept = make_enclave(image)
    bring_up(first, kept)
    enclave = first.enclave
    chain.definitions[2] = status_of(enclave).measurement
    enclave.handle(5, provision_message(sequence=2))
    first.ledger.connect(enclave)
    made = drive(enclave, first.ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    chain.key_sets[2], chain.used = made.descriptor, {1, 2}
    assert isinstance(drive(enclave, first.ledger, Activate()), Sealed)
    chain.definitions[3] = status_of(enclave).measurement
    enclave.handle(6, provision_message(sequence=3))
    first.ledger.connect(enclave)
    exported = drive(kept, first.ledger, ExportKeys(status_of(enclave).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, status_of(kept).evidence, ENDORSEMENTS)
    assert drive(enclave, first.ledger, message) == Refusal("key-ring", "")
    assert isinstance(drive(enclave, first.ledger, MakeKeys()), KeysMade)


def test_keys_that_come_while_others_are_imported_stay(image: ContractImage, first: First) -> None:
    """What an import was compared with when it began is not what it would replace: newer keys would be gone."""
    chain, kept, enclave = first.ledger.chain, make_enclave(image), first.enclave
    bring_up(first, kept)
    chain.definitions[2] = status_of(enclave).measurement
    enclave.handle(5, provision_message(sequence=2))
    first.ledger.connect(enclave)
    made = drive(enclave, first.ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    exported = drive(kept, first.ledger, ExportKeys(status_of(enclave).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    question = enclave.handle(7, ImportKeys(exported.export, status_of(kept).evidence, ENDORSEMENTS))
    assert isinstance(question, AskLedger)
    held_back = LedgerReplied(first.ledger.reply(question.ledger))
    chain.key_sets[2] = made.descriptor
    assert isinstance(drive(enclave, first.ledger, Activate()), Sealed)
    reply = enclave.handle(7, held_back)
    while isinstance(reply, AskLedger):
        reply = enclave.handle(7, LedgerReplied(first.ledger.reply(reply.ledger)))
    assert reply == Refusal("state", "")
    assert status_of(enclave).state == "ready"


def test_who_has_keys_that_were_passed_over_takes_those_that_were_used_instead(
    image: ContractImage, first: First
) -> None:
    """Who got ready before anything was covered, and was away when the next keys were made, is not locked out."""
    chain, late, maker = first.ledger.chain, first.enclave, make_enclave(image)
    chain.used = set()
    chain.definitions[2] = status_of(late).measurement
    maker.handle(1, provision_message("Org2MSP", sequence=2))
    first.ledger.connect(maker)
    made = drive(maker, first.ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    chain.key_sets[2], chain.used = made.descriptor, {2}
    assert isinstance(drive(maker, first.ledger, Activate()), Sealed)
    late.handle(2, provision_message(sequence=2))
    first.ledger.connect(late)
    exported = drive(maker, first.ledger, ExportKeys(status_of(late).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, made.evidence, ENDORSEMENTS)
    chain.used = {1, 2}  # what was covered under its own keys it would lose
    assert drive(late, first.ledger, message) == Refusal("key-ring", "")
    chain.used = {2}
    assert isinstance(drive(late, first.ledger, message), Sealed)
    assert status_of(late).key_set_id == status_of(maker).key_set_id


def test_an_enclave_without_keys_refuses_to_run(image: ContractImage) -> None:
    assert make_enclave(image).handle(1, Invoke(b"")) == Refusal("not-initialised", "")


def test_a_restart_from_the_sealed_state_keeps_the_keys(image: ContractImage, first: First) -> None:
    sealed = bring_up(first, make_enclave(image))
    again = make_enclave(image)
    status = again.handle(1, Restore(sealed))
    assert isinstance(status, Status)
    assert (status.state, status.key_set_id) == ("ready", status_of(first.enclave).key_set_id)


def test_sealed_state_does_not_open_under_another_measurement_or_platform(image: ContractImage, first: First) -> None:
    sealed = bring_up(first, make_enclave(image))
    assert make_enclave(load_sample("kv")).handle(1, Restore(sealed)) == Refusal("sealed-state", "")
    assert make_enclave(image, seed=OTHER_SEED).handle(1, Restore(sealed)) == Refusal("sealed-state", "")
    assert make_enclave(image).handle(1, Restore(sealed[:-1] + b"\0")) == Refusal("sealed-state", "")


def test_a_provisioned_enclave_with_keys_cannot_be_moved_elsewhere(first: First) -> None:
    for change in ({"channel": "x", "genesis_hash": bytes(32)}, {"chaincode": "x"}, {}):
        assert first.enclave.handle(9, replaced(provision_message(), **change)) == Refusal("state", "")


@pytest.mark.parametrize("restarted", [False, True])
def test_p9_an_enclave_with_keys_is_given_nobody_else_to_believe(
    image: ContractImage, first: First, restarted: bool
) -> None:
    """By way of a next sequence: a policy, ledger enclave or registry of the host's would have all keys handed out."""
    enclave = first.enclave
    if restarted:
        sealed, enclave = bring_up(first, make_enclave(image)), make_enclave(image)
        assert isinstance(enclave.handle(1, Restore(sealed)), Status)
    honest = provision_message(sequence=2)
    for change in (
        {"policy": simulation_policy(OTHER_SEED).encode()},
        {"ledger_measurement": bytes(32)},
        {"registry": "another"},
        {"channel": "another"},
    ):
        assert enclave.handle(9, replaced(honest, **change)) == Refusal("state", "")
    assert isinstance(enclave.handle(9, honest), Provisioned)


def test_p9_keys_do_not_leave_by_way_of_a_next_sequence_under_the_hosts_own_policy(
    image: ContractImage, first: First
) -> None:
    """The whole theft, by one host: it plays the ledger enclave and the newcomer, both under its own authority."""
    own = simulation_policy(OTHER_SEED)
    fake = LedgerDouble(first.ledger.chain, own, OTHER_SEED)
    thief = make_enclave(image, seed=OTHER_SEED)
    thief.handle(1, provision_message(sequence=2, policy=own))
    fake.chain.definitions[2] = status_of(thief).measurement
    first.enclave.handle(2, provision_message(sequence=2, policy=own))
    fake.connect(first.enclave)
    made = drive(first.enclave, fake, MakeKeys())
    if isinstance(made, KeysMade):
        fake.chain.key_sets[2] = made.descriptor
        drive(first.enclave, fake, Activate())
    exported = drive(first.enclave, fake, ExportKeys(status_of(thief).evidence, ENDORSEMENTS, b""))
    assert isinstance(exported, Refusal)


def test_a_new_sequence_gets_new_keys_which_the_old_ones_sign(image: ContractImage, first: First) -> None:
    enclave, chain = first.enclave, first.ledger.chain
    before, previous = status_of(enclave).key_set_id, parse_descriptor(chain.key_sets[1]).result_key
    assert not succeeds(chain.key_sets[1], previous)
    assert isinstance(enclave.handle(5, provision_message(sequence=2)), Provisioned)
    assert status_of(enclave).state == "provisioned"
    chain.definitions[2] = status_of(enclave).measurement
    first.ledger.connect(enclave)
    made = drive(enclave, first.ledger, MakeKeys())
    assert isinstance(made, KeysMade)
    chain.key_sets[2] = made.descriptor
    assert isinstance(drive(enclave, first.ledger, Activate()), Sealed)
    assert status_of(enclave).key_set_id != before
    assert succeeds(made.descriptor, previous)


# --- evidence ---------------------------------------------------------------------------------------------------------


def judge(evidence: Evidence, policy: AppraisalPolicy, measurement: bytes, kind: str = KIND_SIMULATION) -> str:
    try:
        appraise(
            evidence,
            Endorsements(kind, b""),
            policy,
            ReferenceValues(chaincode=frozenset({measurement})),
            now_s=0,
        )
    except Refused as refused:
        return refused.reason
    return "accepted"


def test_c2_simulated_evidence_needs_kind_and_authority_in_the_policy(image: ContractImage, first: First) -> None:
    evidence, measurement = evidence_of(first.enclave), compute_measurement(image.digest)
    authorities = simulation_policy().simulation_authorities
    assert judge(evidence, simulation_policy(), measurement) == "accepted"
    assert judge(evidence, AppraisalPolicy(), measurement) == "kind"
    assert judge(evidence, AppraisalPolicy(kinds=(KIND_SIMULATION,)), measurement) == "simulation-authority"
    assert judge(evidence, AppraisalPolicy(simulation_authorities=authorities), measurement) == "kind"
    assert judge(evidence, AppraisalPolicy(kinds=()), measurement) == "kind"


def test_no_reference_values_accept_nothing(image: ContractImage, first: First) -> None:
    assert judge(evidence_of(first.enclave), simulation_policy(), bytes(32)) == "measurement"
    with pytest.raises(Refused):
        appraise(
            evidence_of(first.enclave),
            Endorsements(KIND_SIMULATION, b""),
            simulation_policy(),
            ReferenceValues(),
            now_s=0,
        )


def test_a_simulation_statement_never_passes_for_another_kind(image: ContractImage, first: First) -> None:
    genuine = evidence_of(first.enclave)
    renamed = Evidence(KIND_SGX_DCAP, genuine.attested_data, genuine.statement)
    policy = AppraisalPolicy(
        kinds=(KIND_SIMULATION, KIND_SGX_DCAP), simulation_authorities=simulation_policy().simulation_authorities
    )
    assert judge(renamed, policy, compute_measurement(image.digest), KIND_SGX_DCAP) == "kind"


def test_c4_a_statement_about_other_attested_data_is_refused(image: ContractImage, first: First) -> None:
    genuine = evidence_of(first.enclave)
    attested = replaced(decode_attested_data(genuine.attested_data), msp_id="Org2MSP").encode()
    forged = Evidence(KIND_SIMULATION, attested, genuine.statement)
    assert judge(forged, simulation_policy(), compute_measurement(image.digest)) == "report-data"


def test_the_minimum_svn_counts(image: ContractImage, first: First) -> None:
    """The enclave's own policy must be the same: so another enclave for the stricter one."""
    strict = replaced(simulation_policy(), min_isv_svn=2)
    enclave = make_enclave(image)
    enclave.handle(1, provision_message(policy=strict))
    assert judge(evidence_of(enclave), strict, compute_measurement(image.digest)) == "svn"


def test_malleated_evidence_keeps_its_identity(first: First) -> None:
    genuine = evidence_of(first.enclave)
    assert Evidence(genuine.kind, genuine.attested_data, genuine.statement + b"x").evidence_id == genuine.evidence_id
    assert Evidence(genuine.kind, genuine.attested_data + b"x", genuine.statement).evidence_id != genuine.evidence_id


def test_report_data_depends_on_the_kind() -> None:
    assert compute_report_data(KIND_SIMULATION, b"x") != compute_report_data(KIND_SGX_DCAP, b"x")
    assert len(compute_report_data(KIND_SIMULATION, b"x")) == 64


def test_the_measurement_depends_on_the_contract_and_nothing_random() -> None:
    assert compute_measurement(bytes(32)) == compute_measurement(bytes(32))
    assert compute_measurement(bytes(32)) != compute_measurement(b"\1" * 32)
    assert make_simulation_platform(bytes(32), OTHER_SEED).kind == KIND_SIMULATION
