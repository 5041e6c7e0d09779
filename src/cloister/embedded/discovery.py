"""Service discovery, as far as clients use it: the channel's peers, its configuration, who can endorse.

Source: Fabric 2.5.9 discovery/{service,protoext}.go, discovery/api; fabric-protos discovery/protocol.proto.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.discovery import protocol_pb2
from fabric_protos.gossip import message_pb2
from fabric_protos.msp import msp_config_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.definitions import LIFECYCLE
from cloister.trusted.ledger.policies import SignedItem

from .access import READERS, AccessDenied, check_member, check_policy
from .interest import sets_of_endorsers
from .peer import Peer


class Discovery:
    """One peer's; `orderer` is (host, port) as clients are told."""

    def __init__(self, peer: Peer, peers: Sequence[Peer], orderer: tuple[str, int], orderer_msp: str) -> None:
        self._peer = peer
        self._peers = peers
        self._orderer = orderer
        self._orderer_msp = orderer_msp
        self._started = int(time.time() * 1e9)

    async def discover(self, encoded: bytes, context: Any) -> bytes:
        """Answer a serialised `SignedRequest`, query by query."""
        del context
        response = protocol_pb2.Response()
        try:
            signed = decode_message(protocol_pb2.SignedRequest(), encoded, "signed request")
            request = decode_message(protocol_pb2.Request(), signed.payload, "request")
        except MalformedInput as error:
            response.results.add().error.content = error.message
            return _encode(response)
        item = SignedItem(request.authentication.client_identity, signed.payload, signed.signature)
        for query in request.queries:
            response.results.append(self._answer(query, item))
        return _encode(response)

    def _answer(self, query: Any, item: SignedItem) -> Any:
        result = protocol_pb2.QueryResult()
        kind = query.WhichOneof("query")
        handler = self._handlers().get(kind or "")
        try:
            if handler is None:
                result.error.content = "unknown or missing request type"
            elif kind == "local_peers":
                check_member(self._peer.ledger, self._peer.msp_id, [item])
                handler(query, result)
            elif query.channel != self._peer.ledger.channel:
                result.error.content = "access denied"
            else:
                check_policy(self._peer.ledger, READERS, [item])
                handler(query, result)
        except AccessDenied:
            result.error.content = "access denied"
        return result

    def _handlers(self) -> dict[str, Callable[[Any, Any], None]]:
        return {
            "config_query": self._config,
            "peer_query": self._members,
            "local_peers": self._members,
            "cc_query": self._endorsers,
        }

    def _config(self, query: Any, result: Any) -> None:
        del query
        ledger = self._peer.ledger
        found = result.config_result
        found.SetInParent()
        for kind in ("Application", "Orderer"):
            for group in ledger.config.group.groups[kind].groups.values():
                encoded = msp_config_pb2.MSPConfig.FromString(group.values["MSP"].value).config
                config = msp_config_pb2.FabricMSPConfig.FromString(encoded)
                found.msps[config.name].CopyFrom(config)
        host, port = self._orderer
        found.orderers[self._orderer_msp].endpoint.add(host=host, port=port)

    def _members(self, query: Any, result: Any) -> None:
        channel = query.channel
        for peer in self._peers:
            described = self._describe(peer, with_state=bool(channel))
            result.members.peers_by_org[peer.msp_id].peers.append(described)

    def _endorsers(self, query: Any, result: Any) -> None:
        for interest in query.cc_query.interests:
            descriptor = self._descriptor(interest)
            if descriptor is None:
                result.error.content = "failed constructing descriptor for chaincodes"
                return
            result.cc_query_res.content.append(descriptor)

    def _descriptor(self, interest: Any) -> Any:
        """Groups (one per organisation) and layouts; None if no set of peers suffices."""
        layouts = list(sets_of_endorsers(self._peers, interest))
        if not layouts or not interest.chaincodes:
            return None
        descriptor = protocol_pb2.EndorsementDescriptor(chaincode=interest.chaincodes[0].name)
        names: dict[str, str] = {}
        for layout in layouts:
            quantities = descriptor.layouts.add().quantities_by_group
            for peer in layout:
                group = names.setdefault(peer.msp_id, f"G{len(names)}")
                quantities[group] = 1
                if group not in descriptor.endorsers_by_groups:
                    described = self._describe(peer, with_state=True)
                    descriptor.endorsers_by_groups[group].peers.append(described)
        return descriptor

    def _describe(self, peer: Peer, *, with_state: bool) -> Any:
        """A `discovery.Peer`: identity, and gossip messages that say where it is and what it has."""
        host, _, port = peer.endpoint.rpartition(":")
        when = message_pb2.PeerTime(inc_num=self._started, seq_num=1)
        alive = message_pb2.GossipMessage(
            tag=message_pb2.GossipMessage.EMPTY,
            alive_msg=message_pb2.AliveMessage(
                membership=message_pb2.Member(endpoint=f"{host}:{port}"), timestamp=when, identity=peer.signer.creator
            ),
        )
        described = protocol_pb2.Peer(identity=peer.signer.creator)
        described.membership_info.payload = _encode(alive)
        if with_state:
            described.state_info.payload = _encode(_state_message(peer, when))
        return described


def _state_message(peer: Peer, when: Any) -> Any:
    properties = message_pb2.Properties(ledger_height=peer.ledger.height)
    properties.chaincodes.add(name=LIFECYCLE, version="1")
    for name in peer.names():
        definition = peer.defined(name)
        if definition is not None and peer.runs(name):
            properties.chaincodes.add(name=name, version=str(definition.sequence))  # peers tell that one
    return message_pb2.GossipMessage(
        tag=message_pb2.GossipMessage.CHAN_OR_ORG,
        state_info=message_pb2.StateInfo(timestamp=when, properties=properties),
    )


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
