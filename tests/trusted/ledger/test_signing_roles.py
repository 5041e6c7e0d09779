"""Who could sign blocks besides orderers is said loudly; a policy for orderers alone raises no alarm."""

from __future__ import annotations

from typing import Any

import pytest
from fabric_protos.common import policies_pb2

from cloister.lifecycle import parse_policy_expression
from cloister.testing.channel import Channel, follow, new_answers_for
from cloister.trusted.ledger.signing_roles import other_signers

EVERYBODY = tuple(f"{role} of OrdererMSP" for role in ("administrator", "client", "peer"))


def warned(channel: Channel) -> tuple[str, ...]:
    answers = new_answers_for(channel)
    follow(answers, *channel.blocks[1:])
    return other_signers(answers.judge.config)


def test_fabrics_default_lets_any_member_of_an_ordering_organisation_sign() -> None:
    assert warned(Channel()) == EVERYBODY


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("OR('OrdererMSP.orderer')", ()),
        ("OR('OrdererMSP.member')", EVERYBODY),
        ("OR('OrdererMSP.orderer','OrdererMSP.admin')", EVERYBODY[:1]),
        ("OR('OrdererMSP.orderer','OrdererMSP.client')", EVERYBODY[1:2]),
        ("AND('OrdererMSP.orderer','OrdererMSP.member')", ()),
        ("OutOf(1,'OrdererMSP.peer','OrdererMSP.orderer')", EVERYBODY[2:]),
    ],
)
def test_a_policy_names_the_roles_that_satisfy_it_alone(expression: str, expected: tuple[str, ...]) -> None:
    def change(group: Any) -> None:
        policy = group.policies["BlockValidation"]
        policy.version += 1
        policy.policy.type = policies_pb2.Policy.SIGNATURE
        policy.policy.value = parse_policy_expression(expression)

    channel = Channel()
    channel.reconfigure(["Orderer"], change)
    assert warned(channel) == expected
