"""Which Fabric programs are used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed
from cloister.network import find_binaries
from cloister.network.install import install_binaries
from support.programs import fake_programs

pytestmark = pytest.mark.usefixtures("no_programs")


@pytest.mark.parametrize("version", ["2.5.9", "v2.5.14", "3.1.5", "latest"])
def test_fabric_bin_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    monkeypatch.setenv("FABRIC_BIN", str(fake_programs(tmp_path / "bin", version)))
    found = find_binaries()
    assert (found.source, found.folder) == ("FABRIC_BIN", tmp_path / "bin")
    assert install_binaries() == (found, False)


def test_an_unusable_fabric_bin_is_an_error_and_no_reason_to_look_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_programs(tmp_path / "path", "2.5.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    monkeypatch.setenv("FABRIC_BIN", str(tmp_path / "absent"))
    with pytest.raises(EnvironmentFailed, match="FABRIC_BIN: expected peer"):
        find_binaries()
    monkeypatch.setenv("FABRIC_BIN", str(fake_programs(tmp_path / "old", "1.4.12")))
    with pytest.raises(EnvironmentFailed, match=r"expected version 2\.5\.x or 3\.1\.x, got 1\.4\.12"):
        find_binaries()
    monkeypatch.delenv("FABRIC_BIN")
    assert find_binaries().source == "PATH"


def test_no_programs_anywhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="Fabric programs not found") as caught:
        find_binaries()
    assert caught.value.hint is not None
    assert "cloister fabric install" in caught.value.hint


@pytest.mark.parametrize(("answer", "status"), [("nothing", 0), (" Version: 2.5.9", 1)])
def test_programs_that_do_not_tell_their_version_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, status: int
) -> None:
    peer = fake_programs(tmp_path / "bin", "2.5.9") / "peer"
    peer.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n")
    monkeypatch.setenv("FABRIC_BIN", str(peer.parent))
    with pytest.raises(EnvironmentFailed, match="peer version: unexpected answer"):
        find_binaries()
    peer.write_text("not a program")
    with pytest.raises(EnvironmentFailed, match="does not run"):
        find_binaries()
