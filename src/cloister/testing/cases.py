"""A catalogue of transactions with one defect each, and of sound ones that look like it, by the verdict they deserve.

Each case is one or more transactions of one block; `expected` is a peer's verdict on each. `tests/ledger` iterates it
against real peers and the judge, so a verdict that nobody can reach is missing here for a reason: see UNREACHABLE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2

from cloister.lifecycle import parse_policy_expression
from cloister.network import Network
from cloister.trusted.ledger.codes import Code

from .configs import sign_data
from .definitions import ForgedDefinition
from .forge import Bend, Draft, hashed_rwset, range_query, rwset
from .signers import (
    Signer,
    Wanted,
    authority_of,
    client_signer,
    orderer_signer,
    peer_signer,
    stranger,
    to_high_s,
    with_high_s,
    with_unreadable_issuer,
)

UNREACHABLE = {
    Code.NIL_ENVELOPE: "a decoded block holds none",
    Code.INVALID_WRITESET: "CouchDB only",
    Code.NOT_VALIDATED: "internal",
    Code.MVCC_READ_CONFLICT: "depends on state: see the random mixtures",
    Code.PHANTOM_READ_CONFLICT: "depends on state: see the random mixtures",
}
EXPIRED = (timedelta(seconds=5), timedelta(seconds=10))
"""A validity that is over: a network's authorities began five minutes before they were made."""
MAIN, OTHER, PRIVATE = "main", "other", "private"
"""Chaincode names: `main` by the channel's Endorsement policy, `other` by any one peer, `private` with collections."""


@dataclass(frozen=True)
class Case:
    """Transactions of one block, serialised, with the verdicts they deserve."""

    name: str
    transactions: tuple[bytes, ...]
    expected: tuple[Code, ...]


class Cast:
    """Who acts on a network: its members, and identities made by its own authorities for the occasion."""

    def __init__(self, network: Network) -> None:
        first, second = network.organisations[:2]
        self.channel = network.channel
        self.client = client_signer(first)
        self.peers = [peer_signer(first), peer_signer(second)]
        self.admins = [client_signer(first, "Admin"), client_signer(second, "Admin")]
        self.orderer = orderer_signer(network)
        self.authorities = [authority_of(first), authority_of(second)]

    def draft(self, *namespaces: tuple[str, Any], chaincode: str = MAIN, **more: Any) -> Draft:
        """A sound transaction, but for what is given."""
        return Draft(self.channel, chaincode, **{"client": self.client, "endorsers": self.peers, **more},
                     namespaces=namespaces)  # fmt: skip

    def put(self, key: str, value: bytes = b"v", **more: Any) -> Draft:
        """A sound blind write to `main`."""
        return self.draft((MAIN, rwset(writes=[(key, value)])), **more)


def single_cases(cast: Cast) -> Iterator[Case]:
    """All cases, each with fresh transaction ids."""
    for group in (header_cases, structure_cases, content_cases, creator_cases, endorsement_cases, namespace_cases):
        yield from group(cast)


def header_cases(cast: Cast) -> Iterator[Case]:
    """Envelope, payload, headers."""
    put = cast.put("header")
    yield _case("sound", [put], Code.VALID)
    yield _case("payload does not decode", [put.but(envelope=_field("payload", b"\xff"))], Code.BAD_PAYLOAD)
    yield _case("epoch", [put.but(header=_field("epoch", 1))], Code.BAD_COMMON_HEADER)
    for kind in (common_pb2.MESSAGE, common_pb2.ORDERER_TRANSACTION, common_pb2.CHAINCODE_PACKAGE, 99):
        yield _case(f"header type {kind}", [put.but(header=_field("type", kind))], Code.BAD_COMMON_HEADER)
    yield _case("no nonce", [put.but(signature_header=_field("nonce", b""))], Code.BAD_COMMON_HEADER)
    yield _case("no creator", [put.but(signature_header=_field("creator", b""))], Code.BAD_COMMON_HEADER)
    yield _case("garbage headers", [put.but(payload=_garbage_headers)], Code.BAD_COMMON_HEADER)
    yield _case("empty headers", [put.but(payload=_empty_headers)], Code.BAD_COMMON_HEADER)
    yield _case("another id", [put.but(header=_field("tx_id", "0" * 64))], Code.BAD_PROPOSAL_TXID)
    yield _case("no id", [put.but(header=_field("tx_id", ""))], Code.BAD_PROPOSAL_TXID)
    update = sign_data(cast.channel, cast.client, common_pb2.CONFIG_UPDATE, b"anything")
    yield Case("a config update in a block", (update,), (Code.UNSUPPORTED_TX_PAYLOAD,))
    empty = sign_data(cast.channel, cast.client, common_pb2.CONFIG, b"")
    yield Case("a configuration of nothing", (empty,), (Code.INVALID_CONFIG_TRANSACTION,))
    yield _case("version, time and TLS hash are nobody's business", [put.but(header=_odd_header)], Code.VALID)
    twin = put.but()
    yield _case("the same transaction twice", [twin, twin], Code.VALID, Code.DUPLICATE_TXID)
    failed = put.but(endorsers=cast.peers[:1])
    again = put.but(nonce=failed.nonce)
    codes = Code.ENDORSEMENT_POLICY_FAILURE, Code.VALID
    yield _case("an id whose first transaction failed", [failed, again], *codes)


def structure_cases(cast: Cast) -> Iterator[Case]:
    """Transaction, action, proposal hash."""
    put, code = cast.put("structure"), Code.INVALID_ENDORSER_TRANSACTION
    yield _case("proposal hash", [put.but(response=_field("proposal_hash", bytes(32)))], code)
    yield _case("no action", [put.but(transaction=lambda message: message.ClearField("actions"))], code)
    yield _case("two actions", [put.but(transaction=lambda message: message.actions.add())], code)
    yield _case("no data", [put.but(payload=_field("data", b""))], code)
    yield _case("garbage data", [put.but(payload=_field("data", b"\xff"))], code)
    yield _case("a number of more than 64 bits", [put.but(payload=_more_data(b"\x78" + b"\x80" * 9 + b"\x02"))], code)
    yield _case("a number of 64 bits", [put.but(payload=_more_data(b"\x78" + b"\x80" * 9 + b"\x01"))], Code.VALID)
    yield _case("a tag of six bytes", [put.but(payload=_more_data(b"\xf8\x80\x80\x80\x80\x00\x01"))], Code.VALID)
    yield _case("an unknown group", [put.but(payload=_more_data(b"\x7b\xf8\x80\x80\x80\x80\x00\x01\x7c"))], Code.VALID)
    yield _case("an unfinished group", [put.but(payload=_more_data(b"\x7b"))], code)
    yield _case("no proposal payload", [put.but(endorsed=_field("chaincode_proposal_payload", b""))], code)
    yield _case("another proposal payload", [put.but(endorsed=_field("chaincode_proposal_payload", b"x"))], code)
    yield _case("no response payload", [put.but(endorsed=_endorsed("proposal_response_payload", b""))], code)
    yield _case("garbage response payload", [put.but(endorsed=_endorsed("proposal_response_payload", b"\xff"))], code)
    yield _case("garbage action header", [put.but(transaction=_action("header", b"\xff"))], code)
    yield _case("empty action header", [put.but(transaction=_action("header", b""))], code)


def content_cases(cast: Cast) -> Iterator[Case]:
    """Names, response, event, read/write set."""
    put, write = cast.put("content"), rwset(writes=[("content", b"v")])
    yield _case("header extension", [put.but(header=_field("extension", b"\xff"))], Code.BAD_HEADER_EXTENSION)
    yield _case("no header extension", [put.but(header=_field("extension", b""))], Code.INVALID_OTHER_REASON)
    yield _case("garbage action", [put.but(response=_field("extension", b"\xff"))], Code.BAD_RESPONSE_PAYLOAD)
    yield _case("no chaincode action", [put.but(response=_field("extension", b""))], Code.BAD_RESPONSE_PAYLOAD)
    yield _case("garbage read/write set", [put.but(results=b"\xff")], Code.BAD_RWSET)
    broken = rwset_pb2.NsReadWriteSet(namespace=MAIN, rwset=b"\xff")
    yield _case("garbage namespace", [cast.draft((MAIN, broken))], Code.BAD_RWSET)
    text = kv_rwset_pb2.KVRWSet(writes=[kv_rwset_pb2.KVWrite(key="kx", value=b"v")]).SerializeToString()
    not_text = rwset_pb2.NsReadWriteSet(namespace=MAIN, rwset=text.replace(b"kx", b"\xff\xfe"))
    yield _case("a key that is not UTF-8", [cast.draft((MAIN, not_text))], Code.BAD_RWSET)
    yield _case("no read/write set at all", [put.but(results=b"")], Code.VALID)
    yield _case("no chaincode id", [put.but(action=lambda item: item.ClearField("chaincode_id"))],
                Code.INVALID_OTHER_REASON)  # fmt: skip
    yield _case("another chaincode's name", [put.but(action=_chaincode_id("name", OTHER))], Code.INVALID_CHAINCODE)
    yield _case("no version", [put.but(action=_chaincode_id("version", ""))], Code.INVALID_CHAINCODE)
    yield _case("another version", [put.but(action=_chaincode_id("version", "99"))], Code.VALID)
    yield _case("no name in the extension", [put.but(header=_extension_name(""))], Code.INVALID_CHAINCODE)
    yield _case("another chaincode's event", [put.but(action=_event("another"))], Code.INVALID_OTHER_REASON)
    yield _case("an event", [put.but(action=_event(MAIN))], Code.VALID)
    yield _case("garbage event", [put.but(action=_field("events", b"\xff"))], Code.INVALID_OTHER_REASON)
    yield _case("a namespace twice", [cast.draft((MAIN, write), (MAIN, write))], Code.ILLEGAL_WRITESET)
    yield _case("a response of status 500", [put.but(action=_status(500))], Code.VALID)


def creator_cases(cast: Cast) -> Iterator[Case]:
    """Who signed the transaction."""
    put, code = cast.put("creator"), Code.BAD_CREATOR_SIGNATURE
    first = cast.authorities[0]
    yield _case("another key's signature", [put.but(client=Signer(cast.client.creator, cast.peers[0].key))], code)
    yield _case("no signature", [put.but(envelope=_field("signature", b"\x30"))], code)
    yield _case("high S", [put.but(envelope=_high_s)], code)
    yield _case("bytes after the signature", [put.but(envelope=_trailing)], Code.VALID)
    yield _case("a made-up authority", [put.but(client=stranger(first).issue(Wanted("m", ("client",))))], code)
    yield _case("an unknown MSP", [put.but(client=cast.client.under("NoMSP"))], code)
    yield _case("another member's MSP", [put.but(client=cast.client.under("Org2MSP"))], code)
    yield _case("no certificate", [put.but(client=cast.client.with_certificate(b"nothing"))], code)
    unreadable = with_unreadable_issuer(cast.client.certificate_pem)
    yield _case("an issuer nobody can read", [put.but(client=cast.client.with_certificate(unreadable))], code)
    yield _case("text before the certificate",
                [put.but(client=cast.client.with_certificate(b"hello\n" + cast.client.certificate_pem))],
                Code.VALID)  # fmt: skip
    own, other = cast.client.certificate_pem, cast.peers[0].certificate_pem
    for name, pem, verdict in (
        ("of another type", own.replace(b"CERTIFICATE", b"ANYTHING"), Code.VALID),
        ("behind one of another type", other.replace(b"CERTIFICATE", b"ANYTHING") + own, code),
        ("of another type before one", own.replace(b"CERTIFICATE", b"ANYTHING") + other, Code.VALID),
        ("behind one that is none", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + own, Code.VALID),
        ("before another one", own + other, Code.VALID),
        ("behind another one", other + own, code),
    ):
        yield _case(f"a certificate {name}", [put.but(client=cast.client.with_certificate(pem))], verdict)
    for name, wanted, verdict in (
        ("sound", Wanted("n", ("client",)), Code.VALID),
        ("expired", Wanted("e", ("client",), EXPIRED), Code.VALID),
        ("older than its authority", Wanted("a", ("client",), (timedelta(days=-1), timedelta(days=9))), code),
        ("without organizational unit", Wanted("u", ()), code),
        ("of two roles", Wanted("t", ("client", "peer")), code),
        ("of one role twice", Wanted("d", ("client", "client")), code),
        ("a role and another unit", Wanted("x", ("client", "sales")), Code.VALID),
        ("an orderer's role in a member", Wanted("o", ("orderer",)), Code.VALID),
        ("an authority", Wanted("c", ("client",), is_ca=True), code),
        ("for TLS clients only", _usage("k", ExtendedKeyUsageOID.CLIENT_AUTH), code),
        ("for TLS servers", _usage("s", ExtendedKeyUsageOID.SERVER_AUTH), Code.VALID),
        ("for anything", _usage("y", ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), Code.VALID),
        ("with an unknown critical extension", _unknown_extension(critical=True), code),
        ("with an unknown extension", _unknown_extension(critical=False), Code.VALID),
    ):
        yield _case(f"creator: {name}", [put.but(client=first.issue(wanted))], verdict)
    yield _case("the orderer itself", [put.but(client=cast.orderer)], Code.VALID)
    twin = cast.client.with_certificate(with_high_s(cast.client.certificate_pem))
    yield _case("a certificate with a high S", [put.but(client=twin)], Code.VALID)


def endorsement_cases(cast: Cast) -> Iterator[Case]:
    """Who endorsed it: `main` needs a peer of each organisation."""
    put, code = cast.put("endorsed"), Code.ENDORSEMENT_POLICY_FAILURE
    first, second = cast.peers
    authority = cast.authorities[1]
    expired = authority.issue(Wanted("p", ("peer",), EXPIRED))
    made_up = stranger(authority).issue(Wanted("m"))
    twin = first.with_certificate(with_high_s(first.certificate_pem))
    for name, endorsers, verdict in (
        ("both", [first, second], Code.VALID),
        ("in the other order", [second, first], Code.VALID),
        ("one", [first], code),
        ("none", [], code),
        ("one three times", [first] * 3, code),
        ("one and its high-S twin", [first, twin], code),
        ("a high-S twin", [twin, second], Code.VALID),
        ("a client", [first, cast.client], code),
        ("a client beside both", [cast.client, first, second], Code.VALID),
        ("a made-up peer", [first, made_up], code),
        ("a peer under another MSP's name", [first, first.under("Org2MSP")], code),
        ("a peer that is a client too", [first, authority.issue(Wanted("b", ("peer", "client")))], code),
        ("another peer of the organisation", [first, authority.issue(Wanted("q"))], Code.VALID),
        ("an expired one", [first, expired], Code.VALID),
        ("the orderer", [first, cast.orderer], code),
    ):
        yield _case(f"endorsed by {name}", [put.but(endorsers=endorsers)], verdict)
    bad = put.but(endorsed=_bad_copy_first)
    yield _case("a bad copy before a good one", [bad], Code.VALID)
    yield _case("signature over another payload", [put.but(endorsed=_swapped_signatures)], code)


def namespace_cases(cast: Cast) -> Iterator[Case]:
    """What is written, and by whose leave."""
    code = Code.ENDORSEMENT_POLICY_FAILURE
    write, first = rwset(writes=[("n", b"v")]), cast.peers[:1]
    yield _case("no definition", [cast.draft((("nowhere"), write), chaincode="nowhere")], Code.INVALID_CHAINCODE)
    yield _case("also without definition", [cast.draft(("nowhere", write))], Code.INVALID_CHAINCODE)
    yield _case("system namespaces", [cast.draft((name, write)) for name in ("lscc", "qscc", "cscc", "")],
                *[Code.INVALID_CHAINCODE] * 4)  # fmt: skip
    yield _case("lifecycle state", [cast.draft(("_lifecycle", rwset(writes=[("free", b"x")])))], Code.VALID)
    yield _case("lifecycle state, one organisation",
                [cast.draft(("_lifecycle", rwset(writes=[("free", b"x")])), endorsers=first)], code)  # fmt: skip
    yield _case("one peer is enough", [cast.draft((OTHER, write), chaincode=OTHER, endorsers=first)], Code.VALID)
    yield _case("enough for one namespace only",
                [cast.draft((OTHER, write), (MAIN, write), chaincode=OTHER, endorsers=first)], code)  # fmt: skip
    yield _case("only reads elsewhere",
                [cast.draft((OTHER, write), (MAIN, rwset(reads=[("never", None)])), chaincode=OTHER,
                            endorsers=first)], Code.VALID)  # fmt: skip
    yield _case("reads only", [cast.draft((MAIN, rwset(reads=[("never", None)])))], Code.VALID)
    yield _case("reads only, one peer", [cast.draft((MAIN, rwset(reads=[("never", None)])), endorsers=first)], code)
    yield _case("an empty range", [cast.draft((MAIN, rwset(ranges=[range_query("zz", "zzz", [])])))], Code.VALID)
    yield from _collection_cases(cast)
    yield from _definition_cases(cast)


def _collection_cases(cast: Cast) -> Iterator[Case]:
    """`private` has `own` (any peer of Org2 endorses), `plain` (as the chaincode), and implicit collections."""
    code = Code.ENDORSEMENT_POLICY_FAILURE
    first, second = cast.peers

    def hashed(collection: str, endorsers: Sequence[Signer], **more: Any) -> Draft:
        part = hashed_rwset(PRIVATE, collection, writes=[("k", b"v")], **more)
        return cast.draft((PRIVATE, part), chaincode=PRIVATE, endorsers=endorsers)

    public = rwset(writes=[("k", b"v")])
    yield _case("own collection policy", [hashed("own", [second])], Code.VALID)
    yield _case("own collection policy, another peer", [hashed("own", [first])], code)
    yield _case("own collection policy and public writes", [hashed("own", [second], public=public)], code)
    yield _case("the same, both peers", [hashed("own", [first, second], public=public)], Code.VALID)
    yield _case("plain collection", [hashed("plain", [first])], code)
    yield _case("plain collection, both", [hashed("plain", [first, second])], Code.VALID)
    yield _case("implicit collection", [hashed("_implicit_org_Org2MSP", [second])], Code.VALID)
    yield _case("another's implicit collection", [hashed("_implicit_org_Org2MSP", [first])], code)
    only_read = hashed_rwset(PRIVATE, "nowhere", reads=[("k", None)])
    yield _case("reads of an undefined collection", [cast.draft((PRIVATE, only_read), chaincode=PRIVATE)], Code.VALID)


def _definition_cases(cast: Cast) -> Iterator[Case]:
    """Definitions that cannot be met, and policies whose greedy matching fails. Each is defined in a block before."""
    second_block = [
        ("a policy that is none", {"parameter": b"\xff"}, Code.ENDORSEMENT_POLICY_FAILURE),
        ("a policy that does not exist", {"policy": "/Channel/Application/Nothing"}, Code.ENDORSEMENT_POLICY_FAILURE),
        ("a policy in the air", {"policy": "/Elsewhere/Endorsement"}, Code.ENDORSEMENT_POLICY_FAILURE),
        ("an administrators' policy", {"policy": "/Channel/Application/Admins"}, Code.ENDORSEMENT_POLICY_FAILURE),
        ("two members of one organisation", {"policy": "OutOf(2, 'Org1MSP.member', 'Org1MSP.member')"},
         Code.ENDORSEMENT_POLICY_FAILURE),
        ("a member, then a peer", {"policy": "AND('Org1MSP.member', 'Org1MSP.peer')"},
         Code.ENDORSEMENT_POLICY_FAILURE),
        ("a peer, then a member", {"policy": "AND('Org1MSP.peer', 'Org2MSP.member')"}, Code.VALID),
        ("none of two", {"policy": "OutOf(0, 'Org1MSP.peer', 'Org2MSP.peer')"}, Code.VALID),
    ]  # fmt: skip
    for number, (name, more, verdict) in enumerate(second_block):
        chaincode = f"odd{number}"
        define = cast.draft(ForgedDefinition(chaincode, **more).write(), chaincode="_lifecycle")  # type: ignore[arg-type]
        yield _case(f"defining {name}", [define], Code.VALID)
        use = cast.draft((chaincode, rwset(writes=[("k", b"v")])), chaincode=chaincode)
        yield _case(f"defined with {name}", [use], verdict)


def key_policy(expression: str) -> bytes:
    """A key-level endorsement policy as it is stored."""
    return parse_policy_expression(expression)


def _case(name: str, drafts: Sequence[Draft], *expected: Code) -> Case:
    return Case(name, tuple(draft.build() for draft in drafts), expected)


def _field(name: str, value: Any) -> Bend:
    return lambda message: setattr(message, name, value)


def _more_data(more: bytes) -> Bend:
    return lambda message: setattr(message, "data", message.data + more)


def _endorsed(name: str, value: Any) -> Bend:
    return lambda message: setattr(message.action, name, value)


def _action(name: str, value: Any) -> Bend:
    return lambda message: setattr(message.actions[0], name, value)


def _chaincode_id(name: str, value: str) -> Bend:
    return lambda action: setattr(action.chaincode_id, name, value)


def _status(status: int) -> Bend:
    return lambda action: setattr(action.response, "status", status)


def _event(chaincode: str) -> Bend:
    event = chaincode_event_pb2.ChaincodeEvent(chaincode_id=chaincode, event_name="e").SerializeToString()
    return _field("events", event)


def _extension_name(name: str) -> Bend:
    def bend(header: Any) -> None:
        extension = proposal_pb2.ChaincodeHeaderExtension()
        extension.chaincode_id.name = name
        extension.chaincode_id.SetInParent()
        header.extension = extension.SerializeToString()

    return bend


def _odd_header(header: Any) -> None:
    header.version, header.tls_cert_hash = 7, b"x"
    header.timestamp.seconds = 1


def _garbage_headers(payload: Any) -> None:
    payload.header.channel_header = payload.header.signature_header = b"\xff"


def _empty_headers(payload: Any) -> None:
    payload.header.channel_header = payload.header.signature_header = b""


def _high_s(envelope: Any) -> None:
    envelope.signature = to_high_s(envelope.signature)


def _trailing(envelope: Any) -> None:
    envelope.signature += b"\0\1\2"


def _bad_copy_first(payload: Any) -> None:
    endorsements = payload.action.endorsements
    good = [(item.endorser, item.signature) for item in endorsements]
    del endorsements[:]
    endorsements.add(endorser=good[0][0], signature=good[1][1])
    for endorser, signature in good:
        endorsements.add(endorser=endorser, signature=signature)


def _swapped_signatures(payload: Any) -> None:
    first, second = payload.action.endorsements
    first.signature, second.signature = second.signature, first.signature


def _usage(name: str, usage: x509.ObjectIdentifier) -> Wanted:
    return Wanted(name, ("client",), extensions=[(x509.ExtendedKeyUsage([usage]), False)])


def _unknown_extension(*, critical: bool) -> Wanted:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return Wanted("z", ("client",), extensions=[(extension, critical)])
