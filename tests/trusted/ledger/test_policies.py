"""Signature policies: Fabric's greedy matching, compared with a model; and policies that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.trusted.ledger.certificates import Certificate
from cloister.trusted.ledger.msp import Identity, MspManager
from cloister.trusted.ledger.policies import RememberingPolicy, compile_envelope, compile_signature_policy

ROLES = ("member", "peer", "client")


class Msps:
    """Identities named by the roles they satisfy, such as "member peer"."""

    def satisfies(self, identity: Identity, principal: Any) -> bool:
        return principal.principal.decode() in identity.msp_id.split()


def identity(roles: str) -> Identity:
    return Identity(roles, Certificate(b""), (roles, b""))


def signed_by(index: int) -> Any:
    return policies_pb2.SignaturePolicy(signed_by=index)


def out_of(count: int, *rules: Any) -> Any:
    return policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=count, rules=rules))


def envelope(rule: Any) -> Any:
    principals = [msp_principal_pb2.MSPPrincipal(principal=role.encode()) for role in ROLES]
    return policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=principals)


def holds(rule: Any, *identities: str) -> bool:
    policy = compile_envelope(envelope(rule), cast("MspManager", Msps()))
    found = [identity(roles) for roles in identities]
    answer = policy.evaluate(found)
    remembering = RememberingPolicy(policy)
    assert remembering.evaluate(found) == remembering.evaluate(found) == answer
    return answer


def test_an_identity_counts_once() -> None:
    both = out_of(2, signed_by(0), signed_by(1))
    assert not holds(both, "member peer")
    assert holds(both, "member", "member peer")


def test_matching_is_greedy_and_does_not_go_back() -> None:
    """The first one is taken as member, though only it is a peer: another assignment would do."""
    both = out_of(2, signed_by(0), signed_by(1))
    assert not holds(both, "member peer", "member")
    assert holds(out_of(2, signed_by(1), signed_by(0)), "member peer", "member")


def test_rules_are_tried_even_after_enough_have_held() -> None:
    """What a rule beyond the threshold takes is taken, in the same gate and for those after it."""
    taking = out_of(2, out_of(1, signed_by(0), signed_by(1)), signed_by(1))
    assert not holds(taking, "member", "peer")
    assert holds(taking, "member", "peer", "peer")


def test_what_a_failed_gate_took_is_given_back() -> None:
    rule = out_of(1, out_of(2, signed_by(0), signed_by(2)), signed_by(0))
    assert holds(rule, "member")


def test_zero_out_of_anything_holds() -> None:
    assert holds(out_of(0), *())
    assert holds(out_of(-1, signed_by(0)))


def model(rule: Any, identities: Sequence[str], used: frozenset[int]) -> tuple[bool, frozenset[int]]:
    """cauthdsl.go again, with sets."""
    if rule.WhichOneof("Type") == "signed_by":
        for position, roles in enumerate(identities):
            if position not in used and ROLES[rule.signed_by] in roles.split():
                return True, used | {position}
        return False, used
    held, current = 0, used
    for inner in rule.n_out_of.rules:
        satisfied, after = model(inner, identities, current)
        if satisfied:
            held, current = held + 1, after
    return held >= rule.n_out_of.n, current


RULES = st.recursive(
    st.integers(0, 2).map(signed_by),
    lambda inner: st.tuples(st.integers(0, 3), st.lists(inner, max_size=3)).map(lambda pair: out_of(pair[0], *pair[1])),
    max_leaves=6,
)


@given(RULES, st.lists(st.sets(st.sampled_from(ROLES)).map(lambda roles: " ".join(sorted(roles))), max_size=4))
def test_random_policies_agree_with_the_model(rule: Any, identities: list[str]) -> None:
    assert holds(rule, *identities) == model(rule, identities, frozenset())[0]


@pytest.mark.parametrize("rule", [policies_pb2.SignaturePolicy(), signed_by(3), signed_by(-1), out_of(1, signed_by(9))])
def test_policies_that_cannot_be_evaluated_do_not_compile(rule: Any) -> None:
    with pytest.raises(MalformedInput):
        compile_envelope(envelope(rule), cast("MspManager", Msps()))


@given(st.binary(max_size=100))
def test_any_bytes_compile_or_are_refused(encoded: bytes) -> None:
    try:
        policy = compile_signature_policy(encoded, cast("MspManager", Msps()))
    except MalformedInput:
        return
    policy.evaluate([identity("member")])
