"""The configuration files of Fabric's programs: cryptogen, configtxgen, orderer and peers.

Keys and meaning: Fabric 2.5.9 sampleconfig/{configtx,core,orderer}.yaml and internal/cryptogen. Everything listens on
127.0.0.1; peers use LevelDB and start chaincode through the external builder for `ccaas`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .layout import ORDERER_DOMAIN, ORDERER_MSP, USERS, Layout, Organisation
from .processes import LOOPBACK

_ANY_FREE = f"{LOOPBACK}:0"
_SANS = ["localhost", LOOPBACK]


def write_yaml(path: Path, document: dict[str, Any]) -> None:
    """Write one configuration file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def crypto_config(layout: Layout) -> dict[str, Any]:
    """For `cryptogen generate --config`."""
    return {
        "OrdererOrgs": [
            {
                "Name": "Orderer",
                "Domain": ORDERER_DOMAIN,
                "EnableNodeOUs": True,
                "Specs": [{"Hostname": "orderer", "SANS": _SANS}],
            }
        ],
        "PeerOrgs": [
            {
                "Name": organisation.name,
                "Domain": organisation.domain,
                "EnableNodeOUs": True,
                "Template": {"Count": 1, "SANS": _SANS},
                "Users": {"Count": USERS},
            }
            for organisation in layout.organisations
        ],
    }


def channel_config(layout: Layout) -> dict[str, Any]:
    """For `configtxgen -profile Channel`: the channel's genesis block."""
    orderer = layout.orderer
    tls = orderer.node_crypto / "tls" / "server.crt"
    majority = {"Type": "ImplicitMeta", "Rule": "MAJORITY Admins"}
    basic = {
        "Readers": {"Type": "ImplicitMeta", "Rule": "ANY Readers"},
        "Writers": {"Type": "ImplicitMeta", "Rule": "ANY Writers"},
        "Admins": majority,
    }
    ordering_organisation = {
        "Name": "Orderer",
        "ID": ORDERER_MSP,
        "MSPDir": str(orderer.crypto / "msp"),
        "Policies": _organisation_policies(ORDERER_MSP, peers=False),
        "OrdererEndpoints": [orderer.endpoint],
    }
    return {
        "Profiles": {
            "Channel": {
                "Policies": basic,
                "Capabilities": {"V2_0": True},
                "Orderer": {
                    "OrdererType": "etcdraft",
                    "Addresses": [orderer.endpoint],
                    "BatchTimeout": layout.options.batch_timeout,
                    "BatchSize": {
                        "MaxMessageCount": layout.options.max_messages,
                        "AbsoluteMaxBytes": "99 MB",
                        "PreferredMaxBytes": "2 MB",
                    },
                    "EtcdRaft": {
                        "Consenters": [
                            {
                                "Host": LOOPBACK,
                                "Port": orderer.port,
                                "ClientTLSCert": str(tls),
                                "ServerTLSCert": str(tls),
                            }
                        ],
                        # A single node need not wait for others to speak up: short ticks, quick election.
                        "Options": {
                            "TickInterval": "50ms",
                            "ElectionTick": 5,
                            "HeartbeatTick": 1,
                            "MaxInflightBlocks": 5,
                            "SnapshotIntervalSize": "16 MB",
                        },
                    },
                    "Organizations": [ordering_organisation],
                    "Policies": {**basic, "BlockValidation": {"Type": "ImplicitMeta", "Rule": "ANY Writers"}},
                    "Capabilities": {"V2_0": True},
                },
                "Application": {
                    "Organizations": [_peer_organisation(organisation) for organisation in layout.organisations],
                    "Policies": {
                        **basic,
                        "Endorsement": {"Type": "ImplicitMeta", "Rule": "MAJORITY Endorsement"},
                        "LifecycleEndorsement": {"Type": "ImplicitMeta", "Rule": "MAJORITY Endorsement"},
                    },
                    "Capabilities": {"V2_5": True},
                },
            }
        }
    }


def orderer_config(layout: Layout) -> dict[str, Any]:
    """`orderer.yaml`."""
    orderer = layout.orderer
    tls = orderer.node_crypto / "tls"
    data = layout.folder / "orderer" / "data"
    server = {"Enabled": True, "PrivateKey": str(tls / "server.key"), "Certificate": str(tls / "server.crt")}
    authorities = [str(tls / "ca.crt")]
    return {
        "General": {
            "ListenAddress": LOOPBACK,
            "ListenPort": orderer.port,
            "TLS": {**server, "RootCAs": authorities, "ClientAuthRequired": False},
            "Keepalive": {"ServerMinInterval": "1s", "ServerInterval": "7200s", "ServerTimeout": "20s"},
            "MaxRecvMsgSize": 104857600,
            "MaxSendMsgSize": 104857600,
            "Cluster": {
                "SendBufferSize": 100,
                "ClientCertificate": server["Certificate"],
                "ClientPrivateKey": server["PrivateKey"],
                "RootCAs": authorities,
            },
            "BootstrapMethod": "none",
            "LocalMSPDir": str(orderer.node_crypto / "msp"),
            "LocalMSPID": ORDERER_MSP,
            "BCCSP": _bccsp(),
            "Authentication": {"TimeWindow": "15m"},
        },
        "FileLedger": {"Location": str(data)},
        "Debug": {"BroadcastTraceDir": "", "DeliverTraceDir": ""},
        "Operations": {"ListenAddress": _ANY_FREE, "TLS": {"Enabled": False}},
        "Metrics": {"Provider": "disabled"},
        "Admin": {
            "ListenAddress": f"{LOOPBACK}:{orderer.admin_port}",
            "TLS": {**server, "ClientAuthRequired": True, "ClientRootCAs": authorities},
        },
        "ChannelParticipation": {"Enabled": True, "MaxRequestBodySize": "1 MB"},
        "Consensus": {"WALDir": str(data / "etcdraft" / "wal"), "SnapDir": str(data / "etcdraft" / "snapshot")},
    }


def peer_config(layout: Layout, organisation: Organisation) -> dict[str, Any]:
    """`core.yaml` of one peer; the peer CLI reads the same file."""
    data = organisation.folder / "peer" / "data"
    return {
        "peer": {
            "id": organisation.peer_host,
            "networkId": layout.options.channel,
            "listenAddress": organisation.peer_endpoint,
            "address": organisation.peer_endpoint,
            "addressAutoDetect": False,
            "chaincodeListenAddress": f"{LOOPBACK}:{organisation.chaincode_port}",
            "chaincodeAddress": f"{LOOPBACK}:{organisation.chaincode_port}",
            "gateway": {
                "enabled": True,
                "endorsementTimeout": "30s",
                "broadcastTimeout": "30s",
                "dialTimeout": "10s",
            },
            "keepalive": {
                "interval": "7200s",
                "timeout": "20s",
                "minInterval": "1s",
                "client": {"interval": "60s", "timeout": "20s"},
                "deliveryClient": {"interval": "60s", "timeout": "20s"},
            },
            "gossip": _gossip(organisation),
            "tls": _peer_tls(organisation),
            "authentication": {"timewindow": "15m"},
            "fileSystemPath": str(data),
            "BCCSP": _bccsp(),
            "mspConfigPath": str(organisation.peer_crypto / "msp"),
            "localMspId": organisation.msp_id,
            "localMspType": "bccsp",
            "client": {"connTimeout": "3s"},
            "deliveryclient": {
                "reconnectTotalTimeThreshold": "3600s",
                "connTimeout": "3s",
                "reConnectBackoffThreshold": "1s",
            },
            "profile": {"enabled": False},
            "handlers": {
                "authFilters": [{"name": "DefaultAuth"}, {"name": "ExpirationCheck"}],
                "decorators": [{"name": "DefaultDecorator"}],
                "endorsers": {"escc": {"name": "DefaultEndorsement"}},
                "validators": {"vscc": {"name": "DefaultValidation"}},
            },
            "discovery": {"enabled": True, "authCacheEnabled": True, "orgMembersAllowedAccess": True},
            "limits": {
                "concurrency": {"endorserService": 2500, "deliverService": 2500, "gatewayService": 2500},
            },
            "maxRecvMsgSize": 104857600,
            "maxSendMsgSize": 104857600,
        },
        "vm": {"endpoint": ""},
        "chaincode": {
            "externalBuilders": [{"name": "ccaas", "path": str(layout.builder), "propagateEnvironment": []}],
            "installTimeout": "60s",
            "startuptimeout": "30s",
            "executetimeout": "30s",
            "mode": "net",
            "keepalive": 60,
            "system": {"_lifecycle": "enable", "cscc": "enable", "lscc": "enable", "qscc": "enable"},
            "logging": {"level": "warning", "shim": "warning"},
        },
        "ledger": {
            "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100000},
            "history": {"enableHistoryDatabase": True},
            "snapshots": {"rootDir": str(data / "snapshots")},
        },
        "operations": {"listenAddress": _ANY_FREE, "tls": {"enabled": False}},
        "metrics": {"provider": "disabled"},
    }


def _gossip(organisation: Organisation) -> dict[str, Any]:
    """Quick enough that a new network, and a new chaincode definition, is known everywhere within a second or two."""
    return {
        "bootstrap": organisation.peer_endpoint,
        "useLeaderElection": False,
        "orgLeader": True,
        "endpoint": organisation.peer_endpoint,
        "externalEndpoint": organisation.peer_endpoint,
        "membershipTrackerInterval": "1s",
        "requestStateInfoInterval": "200ms",
        "publishStateInfoInterval": "200ms",
        "pullInterval": "1s",
        "aliveTimeInterval": "500ms",
        "aliveExpirationTimeout": "5s",
        "reconnectInterval": "1s",
        "dialTimeout": "3s",
        "connTimeout": "2s",
        "pvtData": {
            # A peer that rejoins from block 0 would wait a minute for its own approvals otherwise.
            "pullRetryThreshold": "1s",
            "transientstoreMaxBlockRetention": 1000,
            "pushAckTimeout": "3s",
            "btlPullMargin": 10,
            "reconcileBatchSize": 10,
            "reconcileSleepInterval": "5s",
            "reconciliationEnabled": True,
            "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
        },
        "state": {"enabled": False},
    }


def _peer_tls(organisation: Organisation) -> dict[str, Any]:
    tls = organisation.peer_crypto / "tls"
    return {
        "enabled": True,
        "clientAuthRequired": False,
        "cert": {"file": str(tls / "server.crt")},
        "key": {"file": str(tls / "server.key")},
        "rootcert": {"file": str(tls / "ca.crt")},
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


def _bccsp() -> dict[str, Any]:
    return {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256, "FileKeyStore": {"KeyStore": ""}}}
