"""Endorsement policies in the CLI's notation."""

from __future__ import annotations

import pytest
from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.lifecycle import parse_policy_expression


def show(envelope: bytes) -> str:
    """An envelope back in the notation, with OutOf for everything."""
    policy = policies_pb2.SignaturePolicyEnvelope.FromString(envelope)
    roles = msp_principal_pb2.MSPRole.MSPRoleType
    principals = [msp_principal_pb2.MSPRole.FromString(item.principal) for item in policy.identities]

    def rule(item: policies_pb2.SignaturePolicy) -> str:
        if item.WhichOneof("Type") == "signed_by":
            principal = principals[item.signed_by]
            return f"'{principal.msp_identifier}.{roles.Name(principal.role).lower()}'"
        return f"OutOf({item.n_out_of.n}, {', '.join(map(rule, item.n_out_of.rules))})"

    return rule(policy.rule)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("AND('A.peer','B.peer')", "OutOf(2, 'A.peer', 'B.peer')"),
        ('or("A.admin", "B.client")', "OutOf(1, 'A.admin', 'B.client')"),
        ("OutOf(2, 'A.peer', 'B.peer', 'C.orderer')", "OutOf(2, 'A.peer', 'B.peer', 'C.orderer')"),
        ("AND('A.peer', OR('B.peer', 'A.peer'))", "OutOf(2, 'A.peer', OutOf(1, 'B.peer', 'A.peer'))"),
        ("  AND ( 'a.b.c.member' )  ", "OutOf(1, 'a.b.c.member')"),
    ],
)
def test_expressions_mean_what_they_say(expression: str, expected: str) -> None:
    assert show(parse_policy_expression(expression)) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "AND",
        "AND(",
        "AND()",
        "'A.peer'",
        "AND('A')",
        "AND('A.Peer')",
        "AND('A_1.peer')",
        "aNd('A.peer')",
        "AND('A.king')",
        "AND('A.peer'",
        "AND('A.peer') x",
        "XOR('A.peer')",
        "OutOf('A.peer')",
        "OutOf(9, 'A.peer')",
        "AND('A.peer',)",
        "AND(" * 100 + "'A.peer'" + ")" * 100,
    ],
)
def test_broken_expressions_are_refused_with_the_place(expression: str) -> None:
    with pytest.raises(MalformedInput, match="endorsement policy: expected"):
        parse_policy_expression(expression)


principals = st.builds("'{}.{}'".format, st.sampled_from(["A", "B1", "c.d"]), st.sampled_from(["peer", "member"]))


def outof(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(children, min_size=1, max_size=3)
    return lists.flatmap(lambda rules: st.integers(0, len(rules)).map(lambda n: f"OutOf({n}, {', '.join(rules)})"))


@given(outof(st.recursive(principals, outof, max_leaves=8)))
def test_what_is_parsed_can_be_shown_again(expression: str) -> None:
    assert show(parse_policy_expression(expression)) == expression


@given(st.text(alphabet="ANDORoutf(),'.123 peer", max_size=40))
def test_any_text_is_parsed_or_refused(expression: str) -> None:
    try:
        parse_policy_expression(expression)
    except MalformedInput:
        return
