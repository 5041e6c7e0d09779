"""Programs that only tell a version."""

from __future__ import annotations

from pathlib import Path

from cloister.network import PROGRAMS


def fake_programs(folder: Path, version: str) -> Path:
    """Fabric's programs, in so far as they are executable and the peer tells this version."""
    for program in PROGRAMS:
        fake_program(folder / program, f"echo 'peer:'; echo ' Version: {version}'")
    return folder


def fake_program(path: Path, script: str) -> Path:
    """A shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return path
