"""The contract that an enclave runs: its files, their digest, and the loaded object.

Trust level: trusted; reads the contract's files when the enclave starts, never later.
A contract is a Python file and the modules next to it that it imports, found in the syntax tree without running
anything. Beside them it may import the standard library (but not what makes results differ between endorsers) and
`cloister.contract`.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from cloister.contract import ContractChaincode, load_contract
from cloister.errors import UsageError
from cloister.wire.framing import encode_frame

_TAG = b"cloister/contract-image/1"
FORBIDDEN_IMPORTS = frozenset(
    """
    asyncio concurrent ctypes ftplib http importlib io locale mmap multiprocessing os pathlib platform pty random
    requests secrets select selectors shutil signal smtplib socket socketserver ssl subprocess sys tempfile threading
    time urllib uuid
    """.split()  # noqa: SIM905 - a list of sixty quoted words hides what is in it
)
"""Modules that differ between endorsers or reach outside. A guard against accidents: the code is approved anyway."""


@dataclass(frozen=True, slots=True)
class ContractImage:
    """A loaded contract. `digest` is 32 bytes over the reference's class name and all files."""

    chaincode: ContractChaincode
    digest: bytes


def split_reference(reference: str) -> tuple[Path, str]:
    """(file, class name or "") of `FILE.py[:Class]`. Raises: UsageError if there is no such file."""
    location, colon, class_name = reference.rpartition(":")
    path = Path(location if colon and class_name.isidentifier() else reference)
    if path.suffix != ".py" or not path.is_file():
        raise UsageError(
            f"contract: expected a Python file, got {path}",
            hint="name a confidential contract as FILE.py or FILE.py:Class",
        )
    return path, class_name if location == str(path) else ""


def contract_files(path: Path) -> tuple[Path, ...]:
    """The file and all files in its folder that it imports, directly or not, sorted. Raises: UsageError."""
    found: set[Path] = set()
    waiting = [path.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(_neighbours(file, path.resolve().parent))
    return tuple(sorted(found))


def contract_digest(reference: str) -> bytes:
    """32 bytes: what the measurement takes of a contract, found without running it. Raises: UsageError."""
    path, class_name = split_reference(reference)
    folder = path.resolve().parent
    lines = [
        encode_frame(_TAG, (file.relative_to(folder).as_posix().encode(), hashlib.sha256(file.read_bytes()).digest()))
        for file in contract_files(path)
    ]
    return hashlib.sha256(encode_frame(_TAG, (path.name.encode(), class_name.encode(), *lines))).digest()


def load_contract_image(reference: str) -> ContractImage:
    """Load a contract for confidential use. Raises: UsageError with the reason."""
    digest = contract_digest(reference)
    path, _class_name = split_reference(reference)
    loaded_before = set(sys.modules)
    chaincode = load_contract(reference)
    measured = set(contract_files(path))
    folder = path.resolve().parent
    for name in set(sys.modules) - loaded_before:
        origin = getattr(sys.modules[name], "__file__", None)
        if origin and Path(origin).resolve().parent == folder and Path(origin).resolve() not in measured:
            raise UsageError(f"contract: module {name} was loaded but is not measured", hint="import it plainly")
    return ContractImage(chaincode, digest)


def _neighbours(file: Path, folder: Path) -> list[Path]:
    """Files next to the contract that this one imports. Raises: UsageError on a forbidden import."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"contract: {file.name}: {error}") from error
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        else:
            continue
        _refuse_forbidden(file.name, node.lineno, imported)
        names.extend(imported)
    candidates = [folder / f"{name.split('.')[0]}.py" for name in names if name]
    return [candidate for candidate in candidates if candidate.is_file()]


def _refuse_forbidden(name: str, line: int, modules: list[str]) -> None:
    for module in modules:
        if module.split(".")[0] in FORBIDDEN_IMPORTS:
            raise UsageError(
                f"contract: {name} line {line}: a confidential contract must not import {module}",
                hint="it would differ between endorsers or reach outside the enclave",
            )
