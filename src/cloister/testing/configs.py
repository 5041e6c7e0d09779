"""Configuration updates and the config transactions that orderers make of them, allowed or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import identities_pb2, msp_config_pb2, msp_principal_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2

from cloister.lifecycle import parse_policy_expression
from cloister.trusted.ledger.blocks import quorum

from .forge import sign_envelope
from .signers import Authority, Signer

Change = Callable[[Any], None]
"""Changes one ConfigGroup in place, bumping the versions of what it changes."""


def update_envelope(channel: str, config: Any, path: Sequence[str], change: Change, signers: Sequence[Signer]) -> bytes:
    """A CONFIG_UPDATE envelope that changes values, policies or members of the group at `path`."""
    read = _bare(config.channel_group)
    write = _bare(config.channel_group)
    source, read_at, write_at = config.channel_group, read, write
    for name in path:
        source = source.groups[name]
        read_at.groups[name].CopyFrom(_bare(source))
        write_at.groups[name].CopyFrom(_bare(source))
        read_at, write_at = read_at.groups[name], write_at.groups[name]
    changed = configtx_pb2.ConfigGroup()
    changed.CopyFrom(source)
    change(changed)
    whole = changed.version != source.version  # members come or go: then the group lists all that it keeps
    for kind in ("groups", "values", "policies"):
        before, after = getattr(source, kind), getattr(changed, kind)
        for name, item in after.items():
            is_new = name not in before or before[name] != item
            if is_new or whole:
                getattr(write_at, kind)[name].CopyFrom(item)
            if whole and not is_new:
                getattr(read_at, kind)[name].CopyFrom(item)
    write_at.version = changed.version
    encoded = configtx_pb2.ConfigUpdate(channel_id=channel, read_set=read, write_set=write).SerializeToString()
    envelope = configtx_pb2.ConfigUpdateEnvelope(config_update=encoded)
    for signer in signers:
        header = common_pb2.SignatureHeader(creator=signer.creator, nonce=b"nonce").SerializeToString()
        envelope.signatures.add(signature_header=header, signature=signer.sign(header + encoded))
    return sign_data(channel, signers[0], common_pb2.CONFIG_UPDATE, envelope.SerializeToString())


def config_envelope(channel: str, config: Any, update: bytes, path: Sequence[str], change: Change, by: Signer) -> bytes:
    """The CONFIG transaction that an orderer makes of an update to `config`: sequence one on, change applied."""
    new = configtx_pb2.Config()
    new.CopyFrom(config)
    new.sequence += 1
    group = new.channel_group
    for name in path:
        group = group.groups[name]
    change(group)
    envelope = configtx_pb2.ConfigEnvelope(config=new, last_update=common_pb2.Envelope.FromString(update))
    return sign_data(channel, by, common_pb2.CONFIG, envelope.SerializeToString())


def sign_data(channel: str, signer: Signer, kind: int, data: bytes) -> bytes:
    """An envelope of one header type around data."""
    header = common_pb2.Header(
        channel_header=common_pb2.ChannelHeader(type=kind, channel_id=channel).SerializeToString(),
        signature_header=common_pb2.SignatureHeader(creator=signer.creator, nonce=b"nonce").SerializeToString(),
    )
    return sign_envelope(common_pb2.Payload(header=header, data=data), signer)


def config_of(transaction: bytes) -> Any:
    """The `common.Config` in a CONFIG transaction's envelope, None if it is another one."""
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(transaction).payload)
    if common_pb2.ChannelHeader.FromString(payload.header.channel_header).type != common_pb2.CONFIG:
        return None
    return configtx_pb2.ConfigEnvelope.FromString(payload.data).config


def batch_timeout(value: str) -> Change:
    """For the group Orderer."""

    def change(group: Any) -> None:
        item = group.values["BatchTimeout"]
        item.version += 1
        item.value = orderer_pb2.BatchTimeout(timeout=value).SerializeToString()

    return change


def implicit_policy(name: str, rule: int, sub_policy: str = "") -> Change:
    """For any group: one of its policies becomes implicit meta with another rule."""

    def change(group: Any) -> None:
        item = group.policies[name]
        item.version += 1
        item.policy.type = policies_pb2.Policy.IMPLICIT_META
        meta = policies_pb2.ImplicitMetaPolicy(sub_policy=sub_policy or name, rule=rule)
        item.policy.value = meta.SerializeToString()

    return change


def msp_fields(bend: Callable[[Any], None]) -> Change:
    """For an organisation's group: `bend` changes its FabricMSPConfig."""

    def change(group: Any) -> None:
        item = group.values["MSP"]
        item.version += 1
        config = msp_config_pb2.MSPConfig.FromString(item.value)
        inner = msp_config_pb2.FabricMSPConfig.FromString(config.config)
        bend(inner)
        config.config = inner.SerializeToString()
        item.value = config.SerializeToString()

    return change


def revocations(*lists: bytes) -> Change:
    """For an organisation's group: its revocation lists (PEM) are these."""

    def bend(config: Any) -> None:
        del config.revocation_list[:]
        config.revocation_list.extend(lists)

    return msp_fields(bend)


def organization(authority: Authority, *, tls_roots: Sequence[bytes] = (), endpoints: Sequence[str] = ()) -> Any:
    """A new organisation's ConfigGroup: its one authority, node OUs, and policies by its members' roles.

    With `endpoints` it is an ordering one.
    """
    msp_id = authority.msp_id
    msp = msp_config_pb2.FabricMSPConfig(name=msp_id, root_certs=[authority.pem], tls_root_certs=list(tls_roots))
    msp.fabric_node_ous.enable = True
    for role in ("client", "peer", "admin", "orderer"):
        getattr(msp.fabric_node_ous, f"{role}_ou_identifier").organizational_unit_identifier = role
    group = configtx_pb2.ConfigGroup(mod_policy="Admins")
    encoded = msp_config_pb2.MSPConfig(config=msp.SerializeToString()).SerializeToString()
    group.values["MSP"].CopyFrom(configtx_pb2.ConfigValue(value=encoded, mod_policy="Admins"))
    if endpoints:
        addresses = configuration_pb2.OrdererAddresses(addresses=list(endpoints)).SerializeToString()
        group.values["Endpoints"].CopyFrom(configtx_pb2.ConfigValue(value=addresses, mod_policy="Admins"))
    rules = {"Readers": "member", "Writers": "member", "Admins": "admin", "Endorsement": "peer"}
    for name, role in rules.items():
        policy = group.policies[name]
        policy.mod_policy, policy.policy.type = "Admins", policies_pb2.Policy.SIGNATURE
        policy.policy.value = parse_policy_expression(f"OR('{msp_id}.{role}')")
    return group


def members(**changes: Any) -> Change:
    """For Application or Orderer: each organisation named comes (a ConfigGroup), changes, or goes (None)."""

    def change(group: Any) -> None:
        group.version += 1
        for name, member in changes.items():
            if member is None:
                group.groups.pop(name, None)
            else:
                group.groups[name].CopyFrom(member)

    return change


def consenters(bend: Callable[[Any], None]) -> Change:
    """For Orderer under BFT: `bend` changes the list of consenters, and BlockValidation becomes a quorum of them.

    That is what BFT orderers demand of such an update (Fabric 3.1.5 orderer/consensus/smartbft, configverifier.go).
    """

    def change(group: Any) -> None:
        value, item = group.values["Orderers"], group.policies["BlockValidation"]
        orderers = configuration_pb2.Orderers.FromString(value.value)
        bend(orderers.consenter_mapping)
        value.version += 1
        value.value = orderers.SerializeToString()
        item.version += 1
        item.policy.value = _quorum_of(orderers.consenter_mapping).SerializeToString()

    return change


def together(*changes: Change) -> Change:
    """Several changes of one group in one update."""

    def change(group: Any) -> None:
        for each in changes:
            each(group)

    return change


def _quorum_of(mapping: Sequence[Any]) -> Any:
    policy = policies_pb2.SignaturePolicyEnvelope()
    policy.rule.n_out_of.n = quorum(len(mapping))
    for index, consenter in enumerate(mapping):
        policy.rule.n_out_of.rules.add(signed_by=index)
        identity = identities_pb2.SerializedIdentity(mspid=consenter.msp_id, id_bytes=consenter.identity)
        policy.identities.add(
            principal_classification=msp_principal_pb2.MSPPrincipal.IDENTITY, principal=identity.SerializeToString()
        )
    return policy


def _bare(group: Any) -> Any:
    return configtx_pb2.ConfigGroup(version=group.version, mod_policy=group.mod_policy)
