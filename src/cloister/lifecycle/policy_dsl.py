"""Endorsement policies in the `peer` CLI's notation: AND('Org1MSP.member', OR(…)), OutOf(2, …).

Source: Fabric 2.5.9 common/policydsl/policyparser.go: AND = all of, OR = any of, OutOf(n, …); a principal is
'MSPID.role' with role member, admin, client, peer or orderer.

Organisations agree on a definition by the bytes of its policy, so equal text must give the CLI's bytes: every mention
of a principal has its own entry, and the entries of a gate's inner gates come before those of its own principals.
"""

from __future__ import annotations

import re

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2

from cloister.errors import MalformedInput

_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z]+)\s*\(|(?P<principal>'[^']*'|\"[^\"]*\")|(?P<number>\d+)|(?P<mark>[,)]))")
_PRINCIPAL = re.compile(r"(?P<msp_id>[A-Za-z0-9.-]+)\.(?P<role>member|admin|client|peer|orderer)")
_GATES = {spelling: gate for gate in ("And", "Or", "OutOf") for spelling in (gate, gate.lower(), gate.upper())}
_GATE_EXPECTED = "AND(, OR(, OutOf("
_MAX_DEPTH = 32
_Token = dict[str, str | None]


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
        rule = self._gate(self._next(_GATE_EXPECTED), 0)
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

    def _gate(self, token: _Token, depth: int) -> policies_pb2.SignaturePolicy:
        gate = _GATES.get(token["word"] or "")
        if gate is None:
            raise self._stopped(_GATE_EXPECTED)
        if depth > _MAX_DEPTH:
            raise self._stopped("fewer levels")
        needed = self._count() if gate == "OutOf" else 0
        operands = [self._operand(depth)]
        while self._mark() == ",":
            operands.append(self._operand(depth))
        needed = {"And": len(operands), "Or": 1}.get(gate, needed)
        if needed > len(operands) + 1:  # one more than there are is Fabric's way to say "never"
            raise self._stopped(f"a number up to {len(operands) + 1} in OutOf")
        rules = [self._signed_by(item) if isinstance(item, tuple) else item for item in operands]
        return policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=needed, rules=rules))

    def _operand(self, depth: int) -> policies_pb2.SignaturePolicy | tuple[str, str]:
        """An inner gate, its principals numbered; or a principal, to be numbered when the gate around it closes."""
        token = self._next(f"{_GATE_EXPECTED} or 'MSPID.role'")
        if token["principal"] is None:
            return self._gate(token, depth + 1)
        found = _PRINCIPAL.fullmatch(token["principal"][1:-1])
        if found is None:
            raise self._stopped("MSPID.role with a role of member, admin, client, peer, orderer")
        return found["msp_id"], found["role"]

    def _signed_by(self, principal: tuple[str, str]) -> policies_pb2.SignaturePolicy:
        self._principals.append(principal)
        return policies_pb2.SignaturePolicy(signed_by=len(self._principals) - 1)

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

    def _next(self, expected: str) -> _Token:
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
