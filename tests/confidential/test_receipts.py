"""Receipts from real Fabric: they hold for anybody offline, and whatever is changed breaks a link that is named."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import common_pb2

from cloister.client.confidential import open_confidential
from cloister.client.credentials import Trust
from cloister.client.receipt import make_receipt, verify_receipt
from cloister.client.results import PendingOutcome
from cloister.deploy.deploy import connected
from cloister.deploy.workspace import Workspace
from cloister.errors import Refused
from cloister.network import Network
from cloister.trusted.attest.policy import AppraisalPolicy
from support.replace import replaced

pytestmark = pytest.mark.fabric


@dataclass
class Made:
    """A receipt, what it was made of, and another transaction's."""

    receipt: bytes
    other: bytes
    sealed: bytes
    trust: Trust
    pending: PendingOutcome


@pytest.fixture(scope="module")
async def made(samples_network: Network) -> Made:
    network = samples_network
    trust = Workspace(network).trust("echo")
    receipts: list[bytes] = []
    async with connected(network.organisations[0], "User1") as gateway:
        channel = gateway.network(network.channel)
        contract = await open_confidential(channel, "echo", trust)
        calls: list[PendingOutcome] = []
        for text in ("for everybody to see", "another one"):
            await contract.submit("echo", text, on_pending=calls.append)
            opened = await contract.open(calls[-1])
            block = await channel.contract("qscc").evaluate_transaction(
                "GetBlockByTxID", network.channel, calls[-1].transaction_id
            )
            receipts += [
                make_receipt(
                    channel=network.channel,
                    chaincode="echo",
                    credentials=contract.credentials,
                    opened=opened,
                    block=block,
                    response_key=key,
                )
                for key in (calls[-1].response_key, b"")
            ]
    return Made(receipts[0], receipts[2], receipts[1], trust, calls[0])


def test_a_receipt_holds_and_shows_answer_caller_and_signers(made: Made) -> None:
    found = verify_receipt(made.receipt, made.trust)
    assert found.outcome is not None
    assert found.outcome.payload == b"for everybody to see"
    assert found.creator_msp_id == "Org1MSP"
    assert "User1" in found.creator
    assert [msp_id for msp_id, _ in found.signers] == ["OrdererMSP"]
    assert found.statement.transaction_id == made.pending.transaction_id


def test_a_sealed_receipt_shows_that_and_not_what(made: Made) -> None:
    assert verify_receipt(made.sealed, made.trust).outcome is None
    assert made.pending.response_key.hex().encode() not in made.sealed
    assert base64.b64encode(made.pending.response_key) not in made.sealed


def bend(name: str, change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        document[name] = base64.b64encode(change(base64.b64decode(document[name]))).decode()

    return apply


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def without_signatures(content: bytes) -> bytes:
    block = common_pb2.Block.FromString(content)
    block.metadata.metadata[0] = b""
    encoded: bytes = block.SerializeToString()
    return encoded


def other_data(content: bytes) -> bytes:
    block = common_pb2.Block.FromString(content)
    block.data.data.append(b"more")
    encoded: bytes = block.SerializeToString()
    return encoded


def forged_signature(content: bytes) -> bytes:
    block = common_pb2.Block.FromString(content)
    metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
    metadata.signatures[0].signature = flipped(metadata.signatures[0].signature)
    block.metadata.metadata[0] = metadata.SerializeToString()
    encoded: bytes = block.SerializeToString()
    return encoded


@pytest.mark.parametrize(
    ("change", "link"),
    [
        (lambda document: document.pop("block"), "format"),
        (lambda document: document.update(extra="x"), "format"),
        (lambda document: document.update(block="no base64!"), "format"),
        (lambda document: document.update(channel="other"), "credentials"),
        (lambda document: document.update(chaincode="kv"), "credentials"),
        (bend("credentials", lambda content: content[:-40]), "credentials"),
        (lambda document: document.update(transaction_id="0" * 64), "commit statement"),
        (
            bend("committed", lambda content: content[:80] + flipped(content[80:120]) + content[120:]),
            "commit statement",
        ),
        (bend("committed", lambda content: content[:-9]), "commit statement"),
        (bend("block", other_data), "block"),
        (bend("block", lambda content: content[:-10]), "block"),
        (bend("block", without_signatures), "orderer signatures"),
        (bend("block", forged_signature), "orderer signatures"),
        (bend("response_key", flipped), "outcome"),
        (bend("committed", flipped), "outcome"),
    ],
)
def test_b11_a_changed_receipt_names_the_link_that_broke(
    made: Made, change: Callable[[dict[str, Any]], object], link: str
) -> None:
    document = json.loads(made.receipt)
    change(document)
    with pytest.raises(Refused) as caught:
        verify_receipt(json.dumps(document).encode(), made.trust)
    assert caught.value.reason == link


@pytest.mark.parametrize(
    ("part", "link"), [("block", "block"), ("committed", "commit statement"), ("response_key", "outcome")]
)
def test_b11_parts_of_another_receipt_do_not_fit(made: Made, part: str, link: str) -> None:
    document, other = json.loads(made.receipt), json.loads(made.other)
    document[part] = other[part]
    with pytest.raises(Refused) as caught:
        verify_receipt(json.dumps(document).encode(), made.trust)
    assert caught.value.reason == link


def test_a_reader_with_other_trust_refuses(made: Made) -> None:
    for change in (
        {"policy": AppraisalPolicy()},
        {"measurements": frozenset({bytes(32)})},
        {"ledger_measurements": frozenset({bytes(32)})},
        {"genesis_hash": bytes(32)},
    ):
        with pytest.raises(Refused) as caught:
            verify_receipt(made.receipt, replaced(made.trust, **change))
        assert caught.value.reason == "credentials"


@pytest.mark.parametrize("encoded", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"channel": 5}'])
def test_any_bytes_are_refused_as_no_receipt(made: Made, encoded: bytes) -> None:
    with pytest.raises(Refused) as caught:
        verify_receipt(encoded, made.trust)
    assert caught.value.reason == "format"


def test_submit_open_export_and_verify_from_the_command_line(samples_network: Network, tmp_path: Path) -> None:
    network = samples_network
    environment = {**os.environ, "CLOISTER_STATE": str(tmp_path / "state"), "CLOISTER_NETWORK": str(network.folder)}

    def cloister(*arguments: str, fails: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cloister", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == fails, done.stderr
        return done.stdout if not fails else done.stderr

    transaction_id = json.loads(cloister("submit", "--json", "echo", "echo", "from the command line"))["transaction_id"]
    assert cloister("open", "echo", transaction_id).strip() == "from the command line"
    cloister("receipt", "export", "echo", transaction_id, "--out", "receipt.json")
    workspace = Workspace(network)
    trust = ["--policy", str(workspace.policy_path), "--genesis", str(network.genesis_block_path)]
    measurement = ["--measurement", workspace.deployment("echo").measurement]
    assert "from the command line" in cloister("receipt", "verify", *trust, *measurement, "receipt.json")
    refused = cloister("receipt", "verify", *trust, "--measurement", "00" * 32, "receipt.json", fails=4)
    assert "link 'credentials' broke" in refused
    assert "was not submitted from here" in cloister("open", "echo", "0" * 64, fails=2)
    assert "height" in cloister("checkpoint", "show")
    own = next((tmp_path / "state" / "checkpoints").glob("*.json"))
    assert "equal at all" in cloister("checkpoint", "compare", str(own), str(own))
