"""Which endorsers a transaction needs: from what it read and wrote to a set of peers.

Source: Fabric 2.5.9 core/endorser/endorser.go (buildChaincodeInterest), discovery/endorsement/endorsement.go. The
smallest set of peers is looked for that satisfies every policy, evaluated by the judge's own code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from fabric_protos.common import policies_pb2
from fabric_protos.peer import proposal_response_pb2

from cloister.errors import CloisterError
from cloister.trusted.ledger.codes import Invalid
from cloister.trusted.ledger.definitions import LIFECYCLE
from cloister.trusted.ledger.policies import Policy, compile_envelope

from .peer import Peer
from .simulation import Results

SYSTEM_CHAINCODES = frozenset({LIFECYCLE, "lscc", "qscc", "cscc"})


class NoEndorsers(CloisterError):
    """No peers, or too few, that could endorse."""


def build_interest(results: Results) -> Any:
    """The `protos.ChaincodeInterest` of a simulation."""
    interest = proposal_response_pb2.ChaincodeInterest()
    private = set(results.private_reads)
    for namespace in results.namespaces:
        if namespace in SYSTEM_CHAINCODES:
            continue
        written = results.written.get(namespace)
        if written is None:
            interest.chaincodes.add(name=namespace)
        elif written.by_chaincode or written.key_policies:
            call = interest.chaincodes.add(
                name=namespace, disregard_namespace_policy=bool(written.key_policies) and not written.by_chaincode
            )
            call.key_policies.extend(
                policies_pb2.SignaturePolicyEnvelope.FromString(item) for item in written.key_policies
            )
        collections = {name for name, asked in written.collections.items() if asked} if written is not None else set()
        collections |= {name for space, name in private if space == namespace}
        for name in sorted(collections):
            interest.chaincodes.add(
                name=namespace, collection_names=[name], no_private_reads=(namespace, name) not in private
            )
    return interest


def choose_endorsers(peers: Sequence[Peer], interest: Any, first: Peer | None) -> list[Peer]:
    """The fewest peers that can endorse a transaction, if possible with `first` among them. Raises: NoEndorsers."""
    found = list(sets_of_endorsers(peers, interest))
    for chosen in found:
        if first is None or first in chosen:
            return chosen
    if found:
        return found[0]
    raise NoEndorsers(
        "no combination of peers can be derived which satisfy the endorsement policy: no peer combination can satisfy "
        "the endorsement policy"
    )


def sets_of_endorsers(peers: Sequence[Peer], interest: Any) -> Iterator[list[Peer]]:
    """All sets of peers that suffice, none containing another one, the smallest first."""
    if not peers:
        return
    ledger = peers[0].ledger
    able = [peer for peer in peers if all(_is_able(peer, call) for call in interest.chaincodes)]
    try:
        policies = [policy for call in interest.chaincodes for policy in _policies(peers[0], call)]
    except Invalid:
        return
    found: list[set[Peer]] = []
    for size in range(1, len(able) + 1):
        for chosen in itertools.combinations(able, size):
            identities = [ledger.config.msps.deserialize(peer.signer.creator) for peer in chosen]
            if any(smaller <= set(chosen) for smaller in found):
                continue
            if all(policy.evaluate(identities) for policy in policies):
                found.append(set(chosen))
                yield list(chosen)


def _is_able(peer: Peer, call: Any) -> bool:
    """Whether a peer runs the chaincode and holds the data."""
    if call.name not in SYSTEM_CHAINCODES and not peer.runs(call.name):
        return False
    return call.no_private_reads or all(
        peer.ledger.holds(peer.msp_id, (call.name, collection)) for collection in call.collection_names
    )


def _policies(peer: Peer, call: Any) -> Iterator[Policy]:
    definitions, msps = peer.ledger.definitions, peer.ledger.config.msps
    for envelope in call.key_policies:
        yield compile_envelope(envelope, msps)
    if call.collection_names:
        for collection in call.collection_names:
            yield definitions.collection_policy(call.name, collection) or definitions.policy(call.name)
    elif not call.disregard_namespace_policy:
        yield definitions.policy(call.name)
