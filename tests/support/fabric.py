"""Chaincode on a real network, with little between the test and the peers: the `peer` CLI for the lifecycle, endorsers
and the Gateway's submit by their raw protocols, so that a test chooses who endorses and sees the whole response."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.contract import Response
from cloister.fabric.identity import SerializedIdentity, to_low_s
from cloister.fabric.proposal import Proposal, build_proposal, encode_signed_proposal
from cloister.network import Network, Organisation
from cloister.network.client_files import peer_environment


def package(label: str, connection: Mapping[str, Any]) -> bytes:
    """A chaincode-as-a-service package as `peer lifecycle chaincode package` makes it."""
    code = _tar({"connection.json": json.dumps(connection).encode()})
    metadata = json.dumps({"type": "ccaas", "label": label}).encode()
    return _tar({"metadata.json": metadata, "code.tar.gz": code})


def package_id(network: Network, folder: Path, label: str, connection: Mapping[str, Any]) -> tuple[Path, str]:
    """Write the package; its file and id."""
    path = folder / f"{label}.tar.gz"
    path.write_bytes(package(label, connection))
    computed = peer_cli(network, network.organisations[0], "lifecycle", "chaincode", "calculatepackageid", str(path))
    return path, computed.strip()


def deploy(
    network: Network,
    name: str,
    packaged: tuple[Path, str],
    *,
    policy: str = "",
    collections: Path | None = None,
    init_required: bool = False,
    organisations: Sequence[Organisation] = (),
) -> None:
    """Install at every organisation, or at some, approve, commit, and wait until every peer can run it."""
    organisations = organisations or network.organisations
    path, identifier = packaged
    definition = ["--channelID", network.channel, "--name", name, "--version", "1", "--sequence", "1"]
    definition += ["--signature-policy", policy] if policy else []
    definition += ["--collections-config", str(collections)] if collections else []
    definition += ["--init-required"] if init_required else []
    orderer = ["-o", network.orderer.endpoint, "--ordererTLSHostnameOverride", network.orderer.host, "--tls"]
    orderer += ["--cafile", str(network.orderer.tls_ca_path)]
    for organisation in organisations:
        peer_cli(network, organisation, "lifecycle", "chaincode", "install", str(path))
        approve = ["approveformyorg", *orderer, *definition, "--package-id", identifier]
        peer_cli(network, organisation, "lifecycle", "chaincode", *approve)
    peers: list[str] = []
    for organisation in organisations:
        peers += ["--peerAddresses", organisation.peer_endpoint, "--tlsRootCertFiles", str(organisation.tls_ca_path)]
    peer_cli(network, network.organisations[0], "lifecycle", "chaincode", "commit", *orderer, *definition, *peers)


def peer_cli(network: Network, organisation: Organisation, *arguments: str) -> str:
    """Run the `peer` CLI as the organisation's administrator."""
    environment = os.environ | peer_environment(network.layout, organisation, organisation.admin)
    command = [str(network.binaries.path("peer")), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"peer {' '.join(arguments)}: {done.stderr}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Endorsed:
    """What one peer answered to a proposal."""

    response: Response
    payload: bytes
    endorsement: Any

    @property
    def event(self) -> tuple[str, bytes] | None:
        """The chaincode's event, if it set one."""
        action = proposal_pb2.ChaincodeAction.FromString(
            proposal_response_pb2.ProposalResponsePayload.FromString(self.payload).extension
        )
        event = chaincode_event_pb2.ChaincodeEvent.FromString(action.events)
        return (event.event_name, event.payload) if event.event_name else None


class FabricCaller:
    """One user of one organisation, with a connection to every peer. Use as `async with`."""

    def __init__(self, network: Network, organisation: str = "org1", user: str = "User1") -> None:
        files = network.organisation(organisation).user(user)
        self._creator = SerializedIdentity(files.msp_id, files.cert_path.read_bytes()).encode()
        key = load_pem_private_key(files.key_path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("not an ECDSA key")
        self._key = key
        self._network = network
        self._channels: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        for organisation in self._network.organisations:
            credentials = grpc.ssl_channel_credentials(organisation.tls_ca_path.read_bytes())
            options = [
                ("grpc.ssl_target_name_override", organisation.peer_host),
                ("grpc.max_receive_message_length", 100 << 20),
                ("grpc.max_send_message_length", 100 << 20),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 200),
            ]
            self._channels[organisation.name] = grpc.aio.secure_channel(
                organisation.peer_endpoint, credentials, options
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def evaluate(
        self, chaincode: str, *arguments: bytes | str, at: str = "org1", transient: Mapping[str, bytes] | None = None
    ) -> Response:
        """Ask one peer; its chaincode's whole response."""
        return (await self.endorse(self.propose(chaincode, arguments, transient), at)).response

    async def submit(
        self,
        chaincode: str,
        *arguments: bytes | str,
        at: Sequence[str] = ("org1", "org2"),
        transient: Mapping[str, bytes] | None = None,
    ) -> tuple[Endorsed, str]:
        """Have these organisations endorse, submit, wait for the commit: the first endorsement, the validation code."""
        proposal = self.propose(chaincode, arguments, transient)
        endorsed = await asyncio.gather(*(self.endorse(proposal, name) for name in at))
        if any(item.response.status >= 400 for item in endorsed):
            return next(item for item in endorsed if item.response.status >= 400), "NOT_SUBMITTED"
        if len({item.payload for item in endorsed}) != 1:
            raise RuntimeError("endorsers do not agree")
        return endorsed[0], await self.commit(proposal, endorsed, at[0])

    def propose(
        self,
        chaincode: str,
        arguments: Sequence[bytes | str],
        transient: Mapping[str, bytes] | None = None,
        *,
        is_init: bool = False,
    ) -> Proposal:
        """A proposal of this user."""
        return build_proposal(
            channel=self._network.channel,
            chaincode=chaincode,
            arguments=[item.encode() if isinstance(item, str) else item for item in arguments],
            creator=self._creator,
            nonce=os.urandom(24),
            timestamp_ns=time.time_ns(),
            transient=transient,
            is_init=is_init,
        )

    async def endorse(self, proposal: Proposal, at: str, timeout_s: float = 60.0) -> Endorsed:
        """Send a proposal to one peer. A failure that is no response of the chaincode has a status of 500, too."""
        signed = encode_signed_proposal(proposal.encoded, self._sign(proposal.encoded))
        call = self._channels[at].unary_unary("/protos.Endorser/ProcessProposal")
        answer = proposal_response_pb2.ProposalResponse.FromString(
            await call(signed, timeout=timeout_s, wait_for_ready=True)
        )
        response = Response(answer.response.status, answer.response.message, answer.response.payload)
        return Endorsed(response, answer.payload, answer.endorsement)

    async def commit(self, proposal: Proposal, endorsed: Sequence[Endorsed], at: str) -> str:
        """Submit through one peer's Gateway and wait: the validation code's name."""
        envelope = self._envelope(proposal, endorsed)
        gateway = self._channels[at]
        request = gateway_pb2.SubmitRequest(
            transaction_id=proposal.transaction_id, channel_id=proposal.channel, prepared_transaction=envelope
        )
        await gateway.unary_unary("/gateway.Gateway/Submit")(request.SerializeToString(), timeout=30)
        question = gateway_pb2.CommitStatusRequest(
            transaction_id=proposal.transaction_id, channel_id=proposal.channel, identity=self._creator
        ).SerializeToString()
        signed = gateway_pb2.SignedCommitStatusRequest(request=question, signature=self._sign(question))
        answers = await asyncio.gather(
            *(
                channel.unary_unary("/gateway.Gateway/CommitStatus")(signed.SerializeToString(), timeout=30)
                for channel in self._channels.values()  # so that whoever asks any peer next sees the commit
            )
        )
        result = gateway_pb2.CommitStatusResponse.FromString(answers[0]).result
        name: str = transaction_pb2.TxValidationCode.Name(result)
        return name

    def _envelope(self, proposal: Proposal, endorsed: Sequence[Endorsed]) -> Any:
        message = proposal_pb2.Proposal.FromString(proposal.encoded)
        header = common_pb2.Header.FromString(message.header)
        payload = proposal_pb2.ChaincodeProposalPayload.FromString(message.payload)
        action = transaction_pb2.ChaincodeActionPayload(
            chaincode_proposal_payload=proposal_pb2.ChaincodeProposalPayload(input=payload.input).SerializeToString(),
            action=transaction_pb2.ChaincodeEndorsedAction(
                proposal_response_payload=endorsed[0].payload, endorsements=[item.endorsement for item in endorsed]
            ),
        )
        transaction = transaction_pb2.Transaction(
            actions=[
                transaction_pb2.TransactionAction(header=header.signature_header, payload=action.SerializeToString())
            ]
        )
        content = common_pb2.Payload(header=header, data=transaction.SerializeToString()).SerializeToString()
        return common_pb2.Envelope(payload=content, signature=self._sign(content))

    def _sign(self, content: bytes) -> bytes:
        return to_low_s(self._key.sign(content, ec.ECDSA(hashes.SHA256())), self._key.curve)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
