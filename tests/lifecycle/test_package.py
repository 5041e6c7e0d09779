"""Packages: deterministic, and of the id that Fabric itself computes."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import UsageError
from cloister.lifecycle import compute_package_id, package_chaincode
from cloister.network import Network


def test_equal_input_gives_equal_bytes() -> None:
    assert package_chaincode("a_1", "127.0.0.1:9") == package_chaincode("a_1", "127.0.0.1:9")
    assert package_chaincode("a_1", "127.0.0.1:9") != package_chaincode("a_1", "127.0.0.1:8")


def test_a_package_holds_metadata_and_connection() -> None:
    package = package_chaincode("a_1", "127.0.0.1:9", tls_root_cert=b"PEM")
    with tarfile.open(fileobj=io.BytesIO(package)) as outer:
        metadata = json.load(outer.extractfile("metadata.json") or io.BytesIO())
        code = (outer.extractfile("code.tar.gz") or io.BytesIO()).read()
    with tarfile.open(fileobj=io.BytesIO(code)) as inner:
        connection = json.load(inner.extractfile("connection.json") or io.BytesIO())
    assert (metadata["type"], metadata["label"]) == ("ccaas", "a_1")
    assert connection == {"address": "127.0.0.1:9", "dial_timeout": "10s", "tls_required": True, "root_cert": "PEM"}


@pytest.mark.parametrize("label", ["", "a b", "_a", "a_", "a__b", "a/b", "ä"])
def test_labels_that_fabric_refuses_are_refused(label: str) -> None:
    with pytest.raises(UsageError, match="label"):
        package_chaincode(label, "127.0.0.1:9")


@given(st.from_regex(r"[a-z0-9]{1,9}(_[a-z0-9]{1,9})?", fullmatch=True))
def test_the_id_is_label_and_hash(label: str) -> None:
    package = package_chaincode(label, "127.0.0.1:9")
    name, _, digest = compute_package_id(label, package).partition(":")
    assert name == label
    assert len(digest) == 64


@pytest.mark.fabric
def test_the_id_is_the_one_that_the_peer_cli_computes(fabric_network: Network, tmp_path: Path) -> None:
    package = package_chaincode("auction_1", "127.0.0.1:9999")
    path = tmp_path / "package.tar.gz"
    path.write_bytes(package)
    command = [fabric_network.binaries.path("peer"), "lifecycle", "chaincode", "calculatepackageid", str(path)]
    environment = {"FABRIC_CFG_PATH": str(fabric_network.layout.core), "PATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == compute_package_id("auction_1", package)
