"""The measurement of a simulated enclave: SHA-256 over the trusted files, the contract's files and the interpreter.

Trust level: trusted; reads files, needed in simulation only (under SGX the processor measures). The same function runs
at packaging time and inside the starting enclave, so the approved version and the running code are compared for real.

The trusted files are the closure of imports of the enclave's entry point within the packages `cloister`,
`fabric_protos` and `sortedcontainers`, found in the syntax tree and not by importing; `cryptography`, `protobuf` and
the interpreter enter by version. Under SGX every byte of them is measured too.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import cryptography
import fabric_protos
import google.protobuf
import sortedcontainers

import cloister
from cloister.wire.framing import encode_frame

ENTRY_POINT = "cloister.trusted.chaincode.__main__"
LEDGER_ENTRY_POINT = "cloister.trusted.ledger.__main__"
_TAG = b"cloister/simulation-measurement/1"
_TAG_FILE = b"file"
_NO_CONTRACT = bytes(32)
_ROOTS = {
    "cloister": Path(cloister.__file__).parent,
    "fabric_protos": Path(fabric_protos.__file__).parent,
    "sortedcontainers": Path(sortedcontainers.__file__).parent,
}


@dataclass(frozen=True, slots=True)
class MeasuredModule:
    """One trusted module: dotted name, file, the top-level names of all modules outside the closure it imports."""

    name: str
    path: Path
    foreign: frozenset[str]


@functools.cache
def trusted_modules(entry_point: str = ENTRY_POINT) -> tuple[MeasuredModule, ...]:
    """The closure of imports of the entry point, sorted by name; imports inside functions count too.

    Found once: which modules there are does not change while a process runs. Their contents are read each time.
    """
    found: dict[str, MeasuredModule] = {}
    waiting = [entry_point]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or path is None:
            continue
        imported = _imports(name, path)
        inside = {candidate for candidate in imported if candidate.split(".")[0] in _ROOTS}
        found[name] = MeasuredModule(name, path, frozenset(imported - inside))
        waiting.extend(inside)
        waiting.extend(_parents(name))
    return tuple(found[name] for name in sorted(found))


def interpreter_lines() -> tuple[bytes, ...]:
    """Interpreter and compiled libraries, by version."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    return (
        f"{sys.implementation.name} {version}".encode(),
        f"cryptography {cryptography.__version__}".encode(),
        f"protobuf {google.protobuf.__version__}".encode(),
    )


def compute_measurement(contract_digest: bytes, entry_point: str = ENTRY_POINT) -> bytes:
    """32 bytes: the measurement of an enclave that runs the contract with this digest (32 bytes)."""
    lines = [
        encode_frame(_TAG_FILE, (module.name.encode(), hashlib.sha256(module.path.read_bytes()).digest()))
        for module in trusted_modules(entry_point)
    ]
    return hashlib.sha256(encode_frame(_TAG, (*interpreter_lines(), contract_digest, *lines))).digest()


def compute_ledger_measurement() -> bytes:
    """32 bytes: the measurement of a ledger enclave."""
    return compute_measurement(_NO_CONTRACT, LEDGER_ENTRY_POINT)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _file_of(name: str) -> Path | None:
    """The file of a module or package; None if the dotted name is not a module (a name imported from one)."""
    root, *rest = name.split(".")
    path = _ROOTS[root].joinpath(*rest)
    for candidate in (path.with_suffix(".py") if rest else path / "__init__.py", path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(name: str, path: Path) -> set[str]:
    """Dotted names of everything that a file imports; `from a import b` gives both a and a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*anchor, base] if base else anchor)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names
