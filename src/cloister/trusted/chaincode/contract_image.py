"""The contract that an enclave runs: its files, their digest, and the loaded object.

Trust level: trusted; reads the contract's files when the enclave starts, never later.
A contract is one Python file, or a folder with `__init__.py`; every `*.py` in the folder is measured. It may import
the standard library (but not what makes results differ between endorsers) and `cloister.contract`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from cloister.contract import Contract, ContractChaincode
from cloister.errors import UsageError
from cloister.wire.framing import encode_frame

_TAG = b"cloister/contract-image/1"
_MODULE = "cloister_contract"
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
    """A loaded contract. `digest` is 32 bytes over the entry class's name and all files."""

    chaincode: ContractChaincode
    digest: bytes
    clear_key_spaces: tuple[str, ...]


def contract_files(path: Path) -> tuple[tuple[str, Path], ...]:
    """(name relative to the contract, file) of everything that is measured, sorted by name. Raises: UsageError."""
    if path.is_file() and path.suffix == ".py":
        return ((path.name, path),)
    if (path / "__init__.py").is_file():
        return tuple(sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*.py")))
    raise UsageError(
        f"contract: expected a Python file or a folder with __init__.py, got {path}",
        hint="name it as FILE.py, FILE.py:Class or FOLDER:Class",
    )


def split_contract_name(name: str) -> tuple[Path, str]:
    """(path, class name or "") of `FILE.py[:Class]` or `FOLDER[:Class]`."""
    path, separator, class_name = name.rpartition(":")
    return (Path(path), class_name) if separator and class_name.isidentifier() else (Path(name), "")


def contract_digest(name: str) -> bytes:
    """32 bytes: what the measurement takes of a contract, found without running it. Raises: UsageError."""
    path, class_name = split_contract_name(name)
    files = contract_files(path)
    for relative, file in files:
        _check_imports(relative, file.read_bytes())
    lines = [
        encode_frame(_TAG, (relative.encode(), hashlib.sha256(file.read_bytes()).digest())) for relative, file in files
    ]
    return hashlib.sha256(encode_frame(_TAG, (class_name.encode(), *lines))).digest()


def load_contract_image(name: str) -> ContractImage:
    """Load a contract for confidential use. Raises: UsageError with the reason."""
    digest = contract_digest(name)
    path, class_name = split_contract_name(name)
    contract = _pick(_execute(path), class_name)()
    chaincode = ContractChaincode.new_chaincode(contract)
    for function, mode in chaincode.reveal_modes().items():
        if mode == "on-commit":
            raise UsageError(
                f"contract: {function}: reveal on-commit is not available yet",
                hint="mark the function reveal='at-endorsement' and read in the README what that leaves open",
            )
    return ContractImage(chaincode, digest, tuple(contract.clear_key_spaces))


def _execute(path: Path) -> dict[str, object]:
    file = path / "__init__.py" if path.is_dir() else path
    locations = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(_MODULE, file, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise UsageError(f"contract: cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"contract: {path.name} fails while loading: {type(error).__name__}: {error}") from error
    return vars(module)


def _pick(names: dict[str, object], class_name: str) -> type[Contract]:
    """The class named, or the only one that the contract itself defines."""
    own = {
        name: value
        for name, value in names.items()
        if isinstance(value, type) and issubclass(value, Contract) and value.__module__.split(".")[0] == _MODULE
    }
    if class_name in own:
        return own[class_name]
    if class_name or len(own) != 1:
        found = ", ".join(sorted(own)) or "none"
        raise UsageError(
            f"contract: expected {f'a class {class_name}' if class_name else 'one Contract class'}, found {found}",
            hint="name it as FILE.py:Class",
        )
    return next(iter(own.values()))


def _check_imports(name: str, source: bytes) -> None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"contract: {name}: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            _refuse_forbidden(name, node.lineno, [alias.name for alias in node.names])
        elif isinstance(node, ast.ImportFrom) and not node.level:
            _refuse_forbidden(name, node.lineno, [node.module or ""])


def _refuse_forbidden(name: str, line: int, modules: list[str]) -> None:
    for module in modules:
        if module.split(".")[0] in FORBIDDEN_IMPORTS:
            raise UsageError(
                f"contract: {name} line {line}: a confidential contract must not import {module}",
                hint="it would differ between endorsers or reach outside the enclave",
            )
