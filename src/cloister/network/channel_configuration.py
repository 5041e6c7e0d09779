"""The channel's first configuration: what configtxgen makes the genesis block of.

Keys and meaning: Fabric 2.5.9 and 3.1.5 sampleconfig/configtx.yaml, internal/configtxgen/{genesisconfig,encoder}.
"""

from __future__ import annotations

from typing import Any

from .layout import ORDERER_MSP, Layout, Orderer, Organisation
from .options import BFT
from .processes import LOOPBACK

_ADMINS = {"Type": "ImplicitMeta", "Rule": "MAJORITY Admins"}
_BASIC_POLICIES = {
    "Readers": {"Type": "ImplicitMeta", "Rule": "ANY Readers"},
    "Writers": {"Type": "ImplicitMeta", "Rule": "ANY Writers"},
    "Admins": _ADMINS,
}


def channel_config(layout: Layout) -> dict[str, Any]:
    """`configtx.yaml`, for `configtxgen -profile Channel`."""
    bft = layout.options.consensus == BFT
    majority_endorsement = {"Type": "ImplicitMeta", "Rule": "MAJORITY Endorsement"}
    return {
        "Profiles": {
            "Channel": {
                "Policies": _BASIC_POLICIES,
                "Capabilities": {"V3_0": True} if bft else {"V2_0": True},
                "Orderer": {**_ordering(layout), **(_bft(layout) if bft else _raft(layout))},
                "Application": {
                    "Organizations": [_peer_organisation(organisation) for organisation in layout.organisations],
                    "Policies": {
                        **_BASIC_POLICIES,
                        "Endorsement": majority_endorsement,
                        "LifecycleEndorsement": majority_endorsement,
                    },
                    "Capabilities": {"V2_5": True},
                },
            }
        }
    }


def _ordering(layout: Layout) -> dict[str, Any]:
    """What does not depend on the consensus. Endpoints are the organisation's: V3_0 allows no channel-wide ones."""
    return {
        "BatchTimeout": layout.options.batch_timeout,
        "BatchSize": {
            "MaxMessageCount": layout.options.max_messages,
            "AbsoluteMaxBytes": "99 MB",
            "PreferredMaxBytes": "2 MB",
        },
        "Organizations": [
            {
                "Name": "Orderer",
                "ID": ORDERER_MSP,
                "MSPDir": str(layout.orderer.crypto / "msp"),
                "Policies": _organisation_policies(ORDERER_MSP, peers=False),
                "OrdererEndpoints": [orderer.endpoint for orderer in layout.orderers],
            }
        ],
        # For BFT configtxgen puts a quorum of the consenters, by their certificates, in place of this BlockValidation.
        "Policies": {**_BASIC_POLICIES, "BlockValidation": {"Type": "ImplicitMeta", "Rule": "ANY Writers"}},
        "Capabilities": {"V2_0": True},
    }


def _raft(layout: Layout) -> dict[str, Any]:
    return {
        "OrdererType": "etcdraft",
        "EtcdRaft": {
            "Consenters": [_consenter(orderer) for orderer in layout.orderers],
            "Options": {
                "TickInterval": "50ms",
                # A single node need not wait for others to speak up: quick election.
                "ElectionTick": 5 if len(layout.orderers) == 1 else 10,
                "HeartbeatTick": 1,
                "MaxInflightBlocks": 5,
                "SnapshotIntervalSize": "16 MB",
            },
        },
    }


def _bft(layout: Layout) -> dict[str, Any]:
    """Orderers cut blocks by RequestBatchMaxInterval, not by BatchTimeout.

    A stopped leader is noticed after LeaderHeartbeatTimeout or RequestComplainTimeout, whichever comes first.
    """
    return {
        "OrdererType": "BFT",
        "ConsenterMapping": [
            {
                "ID": number,
                **_consenter(orderer),
                "MSPID": ORDERER_MSP,
                "Identity": str(orderer.certificate_path),
            }
            for number, orderer in enumerate(layout.orderers, 1)
        ],
        # Where this section is given, nothing in it has a default.
        "SmartBFT": {
            "RequestBatchMaxInterval": layout.options.batch_timeout,
            "IncomingMessageBufferSize": 200,
            "RequestPoolSize": 100000,
            "RequestForwardTimeout": "1s",
            "RequestComplainTimeout": "5s",
            "RequestAutoRemoveTimeout": "3m",
            "ViewChangeResendInterval": "1s",
            "ViewChangeTimeout": "5s",
            "LeaderHeartbeatTimeout": "5s",
            "LeaderHeartbeatCount": 5,
            "CollectTimeout": "1s",
        },
    }


def _consenter(orderer: Orderer) -> dict[str, Any]:
    certificate = str(orderer.node_crypto / "tls" / "server.crt")
    return {
        "Host": LOOPBACK,
        "Port": orderer.port,
        "ClientTLSCert": certificate,
        "ServerTLSCert": certificate,
    }


def _peer_organisation(organisation: Organisation) -> dict[str, Any]:
    return {
        "Name": organisation.msp_id,
        "ID": organisation.msp_id,
        "MSPDir": str(organisation.crypto / "msp"),
        "Policies": _organisation_policies(organisation.msp_id, peers=True),
        "AnchorPeers": [{"Host": LOOPBACK, "Port": organisation.peer_port}],
    }


def _organisation_policies(msp_id: str, *, peers: bool) -> dict[str, Any]:
    readers = f"OR('{msp_id}.member')" if not peers else f"OR('{msp_id}.admin', '{msp_id}.peer', '{msp_id}.client')"
    writers = f"OR('{msp_id}.member')" if not peers else f"OR('{msp_id}.admin', '{msp_id}.client')"
    policies = {"Readers": readers, "Writers": writers, "Admins": f"OR('{msp_id}.admin')"}
    if peers:
        policies["Endorsement"] = f"OR('{msp_id}.peer')"
    return {name: {"Type": "Signature", "Rule": rule} for name, rule in policies.items()}
