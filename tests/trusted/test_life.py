"""From a new enclave to one with keys: what is handed to whom. Each attack has its honest twin."""

from __future__ import annotations

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
from cloister.trusted.attest.measurement import compute_measurement
from cloister.trusted.attest.platform import make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy, ReferenceValues
from cloister.trusted.chaincode.contract_image import ContractImage
from cloister.trusted.chaincode.enclave import Enclave
from cloister.wire.messages import (
    Activate,
    Exported,
    ExportKeys,
    ImportKeys,
    Invoke,
    KeysMade,
    MakeKeys,
    Provisioned,
    Refusal,
    Restore,
    Sealed,
    Status,
)
from support.enclaves import (
    ENDORSEMENTS,
    bring_up_first,
    bring_up_next,
    load_sample,
    make_enclave,
    provision_message,
    simulation_policy,
    status_of,
)
from support.replace import replaced

OTHER_SEED = bytes([9]) * 32
First = tuple[Enclave, KeysMade]


@pytest.fixture(scope="module")
def image() -> ContractImage:
    return load_sample("auction")


@pytest.fixture
def first(image: ContractImage) -> First:
    enclave = make_enclave(image)
    return enclave, bring_up_first(enclave)


def evidence_of(enclave: Enclave) -> Evidence:
    return decode_evidence(status_of(enclave).evidence)


def test_keys_reach_an_honest_newcomer(image: ContractImage, first: First) -> None:
    newcomer = make_enclave(image)
    bring_up_next(*first, newcomer)
    assert status_of(newcomer).state == "ready"
    assert status_of(newcomer).key_set_id == status_of(first[0]).key_set_id


def export_to(first: First, newcomer: Enclave, endorsements: bytes = ENDORSEMENTS) -> object:
    return first[0].handle(5, ExportKeys(status_of(newcomer).evidence, endorsements, 0))


def test_c1_another_measurement_gets_no_keys(first: First) -> None:
    newcomer = make_enclave(load_sample("kv"))
    newcomer.handle(1, provision_message("Org2MSP"))
    assert export_to(first, newcomer) == Refusal("measurement")


@pytest.mark.parametrize("field", ["channel", "chaincode", "registry", "genesis_hash", "sequence"])
def test_c1_evidence_for_elsewhere_gets_no_keys(image: ContractImage, first: First, field: str) -> None:
    elsewhere: dict[str, object] = {"genesis_hash": bytes(32), "sequence": 2}
    newcomer = make_enclave(image)
    newcomer.handle(1, replaced(provision_message("Org2MSP"), **{field: elsewhere.get(field, "elsewhere")}))
    assert export_to(first, newcomer) == Refusal("binding")


def test_p9_an_enclave_given_another_policy_gets_no_keys(image: ContractImage, first: First) -> None:
    """The host hands a genuine enclave its own authority: the policy's hash in the evidence betrays it."""
    both = tuple(
        sorted({*simulation_policy().simulation_authorities, *simulation_policy(OTHER_SEED).simulation_authorities})
    )
    own_policy = AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=both)
    newcomer = make_enclave(image)
    newcomer.handle(1, provision_message("Org2MSP", policy=own_policy))
    assert export_to(first, newcomer) == Refusal("policy")


def test_evidence_of_another_authority_gets_no_keys(image: ContractImage, first: First) -> None:
    newcomer = make_enclave(image, seed=OTHER_SEED)
    newcomer.handle(1, provision_message("Org2MSP"))
    assert export_to(first, newcomer) == Refusal("simulation-authority")


def test_p8_keys_of_an_attackers_choosing_are_not_imported(image: ContractImage, first: First) -> None:
    """Another, equally genuine enclave made keys too and exports them: not the set that was committed first."""
    rogue = make_enclave(image)
    rogue_made = bring_up_first(rogue)
    newcomer = make_enclave(image)
    newcomer.handle(1, provision_message("Org2MSP"))
    exported = rogue.handle(5, ExportKeys(status_of(newcomer).evidence, ENDORSEMENTS, 0))
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, rogue_made.evidence, ENDORSEMENTS, first[1].descriptor, 0)
    assert newcomer.handle(6, message) == Refusal("export")
    assert status_of(newcomer).state == "provisioned"


def test_an_export_for_another_enclave_is_not_imported(image: ContractImage, first: First) -> None:
    intended, thief = make_enclave(image), make_enclave(image)
    intended.handle(1, provision_message("Org2MSP"))
    thief.handle(1, provision_message("Org2MSP"))
    exported = export_to(first, intended)
    assert isinstance(exported, Exported)
    message = ImportKeys(exported.export, first[1].evidence, ENDORSEMENTS, first[1].descriptor, 0)
    assert thief.handle(6, message) == Refusal("export")
    assert isinstance(intended.handle(6, message), Sealed)


def test_an_export_signed_by_nobody_attested_is_not_imported(image: ContractImage, first: First) -> None:
    newcomer = make_enclave(image)
    newcomer.handle(1, provision_message("Org2MSP"))
    exported = export_to(first, newcomer)
    assert isinstance(exported, Exported)
    other = make_enclave(image)
    other.handle(1, provision_message())
    message = ImportKeys(exported.export, status_of(other).evidence, ENDORSEMENTS, first[1].descriptor, 0)
    assert newcomer.handle(6, message) == Refusal("export")


def test_c9_the_loser_of_the_race_for_the_first_keys_discards_its_own(image: ContractImage) -> None:
    winner, loser = make_enclave(image), make_enclave(image)
    made = bring_up_first(winner)
    loser.handle(1, provision_message("Org2MSP"))
    assert isinstance(loser.handle(2, MakeKeys()), KeysMade)
    assert loser.handle(3, Activate(made.descriptor)) == Refusal("key-set")
    bring_up_next(winner, made, loser)
    assert status_of(loser).key_set_id == status_of(winner).key_set_id


def test_an_enclave_without_keys_refuses_to_run(image: ContractImage) -> None:
    assert make_enclave(image).handle(1, Invoke(b"")) == Refusal("not-initialised")


def test_a_restart_from_the_sealed_state_keeps_the_keys(image: ContractImage, first: First) -> None:
    sealed = bring_up_next(*first, make_enclave(image))
    again = make_enclave(image)
    status = again.handle(1, Restore(sealed))
    assert isinstance(status, Status)
    assert (status.state, status.key_set_id) == ("ready", status_of(first[0]).key_set_id)


def test_sealed_state_does_not_open_under_another_measurement_or_platform(image: ContractImage, first: First) -> None:
    sealed = bring_up_next(*first, make_enclave(image))
    assert make_enclave(load_sample("kv")).handle(1, Restore(sealed)) == Refusal("sealed-state")
    assert make_enclave(image, seed=OTHER_SEED).handle(1, Restore(sealed)) == Refusal("sealed-state")
    assert make_enclave(image).handle(1, Restore(sealed[:-1] + b"\0")) == Refusal("sealed-state")


def test_a_provisioned_enclave_with_keys_cannot_be_moved_elsewhere(first: First) -> None:
    for change in ({"channel": "x", "genesis_hash": bytes(32)}, {"chaincode": "x"}, {}):
        assert first[0].handle(9, replaced(provision_message(), **change)) == Refusal("state")


def test_a_new_sequence_gets_new_keys_and_reads_old_state(image: ContractImage, first: First) -> None:
    enclave = first[0]
    before = status_of(enclave).key_set_id
    assert isinstance(enclave.handle(5, provision_message(sequence=2)), Provisioned)
    assert status_of(enclave).state == "provisioned"
    made = enclave.handle(6, MakeKeys())
    assert isinstance(made, KeysMade)
    assert isinstance(enclave.handle(7, Activate(made.descriptor)), Sealed)
    assert status_of(enclave).key_set_id != before


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
    evidence, measurement = evidence_of(first[0]), compute_measurement(image.digest)
    authorities = simulation_policy().simulation_authorities
    assert judge(evidence, simulation_policy(), measurement) == "accepted"
    assert judge(evidence, AppraisalPolicy(), measurement) == "kind"
    assert judge(evidence, AppraisalPolicy(kinds=(KIND_SIMULATION,)), measurement) == "simulation-authority"
    assert judge(evidence, AppraisalPolicy(simulation_authorities=authorities), measurement) == "kind"
    assert judge(evidence, AppraisalPolicy(kinds=()), measurement) == "kind"


def test_no_reference_values_accept_nothing(image: ContractImage, first: First) -> None:
    assert judge(evidence_of(first[0]), simulation_policy(), bytes(32)) == "measurement"
    with pytest.raises(Refused):
        appraise(
            evidence_of(first[0]), Endorsements(KIND_SIMULATION, b""), simulation_policy(), ReferenceValues(), now_s=0
        )


def test_a_simulation_statement_never_passes_for_another_kind(image: ContractImage, first: First) -> None:
    genuine = evidence_of(first[0])
    renamed = Evidence(KIND_SGX_DCAP, genuine.attested_data, genuine.statement)
    policy = AppraisalPolicy(
        kinds=(KIND_SIMULATION, KIND_SGX_DCAP), simulation_authorities=simulation_policy().simulation_authorities
    )
    assert judge(renamed, policy, compute_measurement(image.digest), KIND_SGX_DCAP) == "kind"


def test_c4_a_statement_about_other_attested_data_is_refused(image: ContractImage, first: First) -> None:
    genuine = evidence_of(first[0])
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
    genuine = evidence_of(first[0])
    assert Evidence(genuine.kind, genuine.attested_data, genuine.statement + b"x").evidence_id == genuine.evidence_id
    assert Evidence(genuine.kind, genuine.attested_data + b"x", genuine.statement).evidence_id != genuine.evidence_id


def test_report_data_depends_on_the_kind() -> None:
    assert compute_report_data(KIND_SIMULATION, b"x") != compute_report_data(KIND_SGX_DCAP, b"x")
    assert len(compute_report_data(KIND_SIMULATION, b"x")) == 64


def test_the_measurement_depends_on_the_contract_and_nothing_random() -> None:
    assert compute_measurement(bytes(32)) == compute_measurement(bytes(32))
    assert compute_measurement(bytes(32)) != compute_measurement(b"\1" * 32)
    assert make_simulation_platform(bytes(32), OTHER_SEED).kind == KIND_SIMULATION
