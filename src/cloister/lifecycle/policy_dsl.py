"""Endorsement policies in the `peer` CLI's notation: AND('Org1MSP.member', OR(…)), OutOf(2, …).

Source: Fabric 2.5.9 common/policydsl/policyparser.go: AND = all of, OR = any of, OutOf(n, …); a principal is
'MSPID.role' with role member, admin, client, peer or orderer; equal principals share one entry.
"""

from __future__ import annotations

import re

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2

from cloister.errors import MalformedInput

_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z]+)\s*\(|(?P<principal>'[^']*'|\"[^\"]*\")|(?P<number>\d+)|(?P<mark>[,)]))")
_ROLES = ("member", "admin", "client", "peer", "orderer")
_MAX_DEPTH = 32


def parse_policy_expression(expression: str) -> bytes:
    """Serialised `common.SignaturePolicyEnvelope`. Raises: MalformedInput saying where it stopped."""
    parser = _Parser(expression)
    rule = parser.parse()
    envelope = policies_pb2.SignaturePolicyEnvelope(version=0, rule=rule, identities=parser.identities())
    encoded: bytes = envelope.SerializeToString()
    return encoded


class _Parser:
    def __init__(self, expression: str) -> None:
        self._text = expression
        self._offset = 0
        self._principals: list[tuple[str, str]] = []

    def parse(self) -> policies_pb2.SignaturePolicy:
        rule = self._rule(0)
        if self._text[self._offset :].strip():
            raise self._stopped("nothing more")
        return rule

    def identities(self) -> list[msp_principal_pb2.MSPPrincipal]:
        return [
            msp_principal_pb2.MSPPrincipal(
                principal_classification=msp_principal_pb2.MSPPrincipal.ROLE,
                principal=msp_principal_pb2.MSPRole(
                    msp_identifier=msp_id, role=msp_principal_pb2.MSPRole.MSPRoleType.Value(role.upper())
                ).SerializeToString(),
            )
            for msp_id, role in self._principals
        ]

    def _rule(self, depth: int) -> policies_pb2.SignaturePolicy:
        if depth > _MAX_DEPTH:
            raise self._stopped("fewer levels")
        token = self._next("AND(, OR(, OutOf( or 'MSPID.role'")
        if token["principal"]:
            return policies_pb2.SignaturePolicy(signed_by=self._principal(token["principal"][1:-1]))
        word = (token["word"] or "").lower()
        if word not in ("and", "or", "outof"):
            raise self._stopped("AND(, OR(, OutOf( or 'MSPID.role'")
        needed = self._count() if word == "outof" else 0
        rules = [self._rule(depth + 1)]
        while self._mark() == ",":
            rules.append(self._rule(depth + 1))
        needed = {"and": len(rules), "or": 1}.get(word, needed)
        if not 0 <= needed <= len(rules) + 1:
            raise self._stopped(f"a number up to {len(rules)} in OutOf")
        return policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=needed, rules=rules))

    def _count(self) -> int:
        number = self._next("a number")["number"]
        if number is None or self._mark() != ",":
            raise self._stopped("a number and a comma")
        return int(number)

    def _mark(self) -> str:
        mark = self._next("a comma or a closing bracket")["mark"]
        if mark is None:
            raise self._stopped("a comma or a closing bracket")
        return mark

    def _principal(self, text: str) -> int:
        msp_id, _, role = text.rpartition(".")
        if not msp_id or role.lower() not in _ROLES:
            raise self._stopped(f"MSPID.role with a role of {', '.join(_ROLES)}")
        principal = (msp_id, role.lower())
        if principal not in self._principals:
            self._principals.append(principal)
        return self._principals.index(principal)

    def _next(self, expected: str) -> dict[str, str | None]:
        found = _TOKEN.match(self._text, self._offset)
        if found is None:
            raise self._stopped(expected)
        self._offset = found.end()
        return found.groupdict()

    def _stopped(self, expected: str) -> MalformedInput:
        got = self._text[self._offset : self._offset + 20] or "the end"
        return MalformedInput(
            f"endorsement policy: expected {expected} near position {self._offset}, got {got!r}",
            field="policy",
            hint="for example AND('Org1MSP.peer', 'Org2MSP.peer')",
        )
