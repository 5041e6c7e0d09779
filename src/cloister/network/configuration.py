"""The configuration files of Fabric's programs: cryptogen, orderers and peers.

Keys and meaning: Fabric 2.5.9 sampleconfig/{core,orderer}.yaml and internal/cryptogen. Everything listens on
127.0.0.1; peers use LevelDB and start chaincode through the external builder for `ccaas`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .layout import ORDERER_DOMAIN, ORDERER_MSP, USERS, Layout, Orderer, Organisation
from .options import BFT
from .processes import LOOPBACK

_ANY_FREE = f"{LOOPBACK}:0"
_SANS = ["localhost", LOOPBACK]
# Orderers that start one after the other miss each other at first. What a BFT leader sends meanwhile is lost, and it is
# replaced seconds later; so they try again soon. Fabric 2.5 does not know the key, and Raft sends again anyway.
_SOON_CONNECTED = {"Backoff": {"BaseDelay": "50ms", "Multiplier": 1.2, "MaxDelay": "200ms"}}


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
                "Specs": [{"Hostname": orderer.name, "SANS": _SANS} for orderer in layout.orderers],
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


def orderer_config(layout: Layout, orderer: Orderer) -> dict[str, Any]:
    """`orderer.yaml` of one orderer."""
    tls = orderer.node_crypto / "tls"
    data = orderer.folder / "data"
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
                "RPCTimeout": "2s",  # so long a transaction that is forwarded to a stopped leader holds its sender up
                "ClientCertificate": server["Certificate"],
                "ClientPrivateKey": server["PrivateKey"],
                "RootCAs": authorities,
            },
            "BootstrapMethod": "none",
            **(_SOON_CONNECTED if layout.options.consensus == BFT else {}),
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
        "Consensus": {"WALDir": str(data / "consensus" / "wal"), "SnapDir": str(data / "consensus" / "snapshot")},
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
            "keepalive": 0,  # as in Fabric's sample file; the official Node shim 2.5.8 ends itself at such a message
            "runtimeParams": {"useWriteBatch": True},  # as in the sample file of Fabric 3.1; 2.5 does not know it
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


def _bccsp() -> dict[str, Any]:
    return {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256, "FileKeyStore": {"KeyStore": ""}}}
