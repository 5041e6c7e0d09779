"""The channel's block 0, as Fabric's `configtxgen` makes it of `configtx.yaml`.

Source: Fabric 2.5.9 internal/configtxgen/encoder/encoder.go, msp/configbuilder.go, common/genesis/genesis.go.
Only what our own profiles use is understood: Raft, node OUs, organisations without intermediate authorities.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as etcdraft_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2
from google.protobuf.message import Message

from cloister.errors import UsageError
from cloister.fabric.block import compute_data_hash
from cloister.fabric.proposal import compute_transaction_id
from cloister.lifecycle import parse_policy_expression
from cloister.network.channel_configuration import channel_config
from cloister.network.layout import Layout

_ADMINS = "Admins"
_UNITS = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}
_NONCE_BYTES = 24


def make_genesis_block(layout: Layout) -> bytes:
    """The serialised block 0 of the layout's channel; its crypto material must be there already."""
    config = configtx_pb2.Config(channel_group=channel_group(channel_config(layout)["Profiles"]["Channel"]))
    nonce = os.urandom(_NONCE_BYTES)
    header = common_pb2.ChannelHeader(
        type=common_pb2.CONFIG,
        version=1,
        channel_id=layout.options.channel,
        tx_id=compute_transaction_id(nonce, b""),
    )
    header.timestamp.seconds = int(time.time())
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=_encode(header), signature_header=_encode(common_pb2.SignatureHeader(nonce=nonce))
        ),
        data=_encode(configtx_pb2.ConfigEnvelope(config=config)),
    )
    data = (_encode(common_pb2.Envelope(payload=_encode(payload))),)
    last = common_pb2.LastConfig(index=0)
    signatures = common_pb2.Metadata(value=_encode(common_pb2.OrdererBlockMetadata(last_config=last)))
    block = common_pb2.Block(
        header=common_pb2.BlockHeader(number=0, data_hash=compute_data_hash(data)),
        data=common_pb2.BlockData(data=data),
        metadata=common_pb2.BlockMetadata(
            metadata=[_encode(signatures), _encode(common_pb2.Metadata(value=_encode(last))), b"", b"", b""]
        ),
    )
    return _encode(block)


def channel_group(profile: Mapping[str, Any]) -> Any:
    """The `common.ConfigGroup` of one profile of `configtx.yaml`."""
    group = _group(profile["Policies"])
    _set(group, "HashingAlgorithm", configuration_pb2.HashingAlgorithm(name="SHA256"))
    _set(group, "BlockDataHashingStructure", configuration_pb2.BlockDataHashingStructure(width=2**32 - 1))
    _set(group, "Capabilities", _capabilities(profile["Capabilities"]))
    group.groups["Orderer"].CopyFrom(_orderer_group(profile["Orderer"]))
    group.groups["Application"].CopyFrom(_application_group(profile["Application"]))
    return group


def _orderer_group(section: Mapping[str, Any]) -> Any:
    if section["OrdererType"] != "etcdraft":
        raise UsageError(f"an embedded network orders as a single node, not by {section['OrdererType']}")
    group = _group(section["Policies"])
    size = section["BatchSize"]
    batch = orderer_pb2.BatchSize(
        max_message_count=size["MaxMessageCount"],
        absolute_max_bytes=_bytes(size["AbsoluteMaxBytes"]),
        preferred_max_bytes=_bytes(size["PreferredMaxBytes"]),
    )
    _set(group, "BatchSize", batch)
    _set(group, "BatchTimeout", orderer_pb2.BatchTimeout(timeout=section["BatchTimeout"]))
    _set(group, "ChannelRestrictions", orderer_pb2.ChannelRestrictions())
    _set(group, "Capabilities", _capabilities(section["Capabilities"]))
    metadata = _encode(_raft_metadata(section["EtcdRaft"]))
    _set(group, "ConsensusType", orderer_pb2.ConsensusType(type="etcdraft", metadata=metadata))
    for organisation in section["Organizations"]:
        member = _organisation_group(organisation)
        endpoints = configuration_pb2.OrdererAddresses(addresses=organisation["OrdererEndpoints"])
        _set(member, "Endpoints", endpoints)
        group.groups[organisation["Name"]].CopyFrom(member)
    return group


def _application_group(section: Mapping[str, Any]) -> Any:
    group = _group(section["Policies"])
    _set(group, "Capabilities", _capabilities(section["Capabilities"]))
    for organisation in section["Organizations"]:
        member = _organisation_group(organisation)
        anchors = [peer_pb2.AnchorPeer(host=item["Host"], port=item["Port"]) for item in organisation["AnchorPeers"]]
        _set(member, "AnchorPeers", peer_pb2.AnchorPeers(anchor_peers=anchors))
        group.groups[organisation["Name"]].CopyFrom(member)
    return group


def _organisation_group(organisation: Mapping[str, Any]) -> Any:
    group = _group(organisation["Policies"])
    _set(group, "MSP", read_msp(Path(organisation["MSPDir"]), organisation["ID"]))
    return group


def read_msp(folder: Path, msp_id: str) -> Any:
    """The `msp.MSPConfig` of a verifying MSP folder."""
    roots = _certificates(folder / "cacerts")
    config = msp_config_pb2.FabricMSPConfig(
        name=msp_id,
        root_certs=roots.values(),
        tls_root_certs=_certificates(folder / "tlscacerts").values(),
        crypto_config=msp_config_pb2.FabricCryptoConfig(
            signature_hash_family="SHA2", identity_identifier_hash_function="SHA256"
        ),
    )
    units = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["NodeOUs"]
    config.fabric_node_ous.enable = bool(units["Enable"])
    for role in ("client", "peer", "admin", "orderer"):
        unit = units[f"{role.title()}OUIdentifier"]
        identifier = getattr(config.fabric_node_ous, f"{role}_ou_identifier")
        identifier.organizational_unit_identifier = unit["OrganizationalUnitIdentifier"]
        identifier.certificate = roots[Path(unit["Certificate"]).name]
    return msp_config_pb2.MSPConfig(config=_encode(config))


def _certificates(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _raft_metadata(section: Mapping[str, Any]) -> Any:
    options = section["Options"]
    metadata = etcdraft_pb2.ConfigMetadata(
        options=etcdraft_pb2.Options(
            tick_interval=options["TickInterval"],
            election_tick=options["ElectionTick"],
            heartbeat_tick=options["HeartbeatTick"],
            max_inflight_blocks=options["MaxInflightBlocks"],
            snapshot_interval_size=_bytes(options["SnapshotIntervalSize"]),
        )
    )
    for consenter in section["Consenters"]:
        metadata.consenters.add(
            host=consenter["Host"],
            port=consenter["Port"],
            client_tls_cert=Path(consenter["ClientTLSCert"]).read_bytes(),
            server_tls_cert=Path(consenter["ServerTLSCert"]).read_bytes(),
        )
    return metadata


def _group(policies: Mapping[str, Any]) -> Any:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    for name, policy in policies.items():
        entry = group.policies[name]
        entry.mod_policy = _ADMINS
        entry.policy.CopyFrom(_policy(policy))
    return group


def _policy(section: Mapping[str, str]) -> Any:
    if section["Type"] == "Signature":
        value = parse_policy_expression(section["Rule"])
        return policies_pb2.Policy(type=policies_pb2.Policy.SIGNATURE, value=value)
    rule, sub_policy = section["Rule"].split()
    meta = policies_pb2.ImplicitMetaPolicy(rule=policies_pb2.ImplicitMetaPolicy.Rule.Value(rule), sub_policy=sub_policy)
    return policies_pb2.Policy(type=policies_pb2.Policy.IMPLICIT_META, value=_encode(meta))


def _capabilities(section: Mapping[str, bool]) -> Any:
    found = configuration_pb2.Capabilities()
    for name, wanted in section.items():
        if wanted:
            found.capabilities[name].SetInParent()
    return found


def _set(group: Any, name: str, value: Message) -> None:
    group.values[name].CopyFrom(configtx_pb2.ConfigValue(value=_encode(value), mod_policy=_ADMINS))


def _bytes(text: str) -> int:
    """Bytes of "99 MB", as viper counts them."""
    number, unit = text.split()
    return int(number) * _UNITS[unit]


def _encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
