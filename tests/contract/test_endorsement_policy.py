from __future__ import annotations

import pytest
from fabric_protos.common import policies_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract import KeyEndorsementPolicy, RoleType
from cloister.errors import MalformedInput


def test_all_organisations_must_sign() -> None:
    policy = KeyEndorsementPolicy()
    policy.add_orgs(RoleType.PEER, "Org2MSP", "Org1MSP")
    envelope = policies_pb2.SignaturePolicyEnvelope.FromString(policy.policy())
    assert envelope.rule.n_out_of.n == 2
    assert [rule.WhichOneof("Type") for rule in envelope.rule.n_out_of.rules] == ["signed_by", "signed_by"]
    assert [rule.signed_by for rule in envelope.rule.n_out_of.rules] == [0, 1]
    assert policy.list_orgs() == ["Org1MSP", "Org2MSP"]


@given(st.permutations(["Org1MSP", "Org2MSP", "Org3MSP"]))
def test_equal_sets_give_equal_bytes(orgs: list[str]) -> None:
    policy, other = KeyEndorsementPolicy(), KeyEndorsementPolicy()
    policy.add_orgs("MEMBER", *orgs)
    other.add_orgs(RoleType.MEMBER, *sorted(orgs))
    assert policy.policy() == other.policy()


def test_a_policy_can_be_read_back_and_changed() -> None:
    policy = KeyEndorsementPolicy()
    policy.add_orgs(RoleType.PEER, "Org1MSP", "Org2MSP")
    changed = KeyEndorsementPolicy(policy.policy())
    assert changed.policy() == policy.policy()
    changed.delete_orgs("Org1MSP", "Unknown")
    assert changed.list_orgs() == ["Org2MSP"]


def test_other_roles_and_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="ADMIN"):
        KeyEndorsementPolicy().add_orgs("ADMIN", "Org1MSP")
    with pytest.raises(MalformedInput):
        KeyEndorsementPolicy(b"\xff")
