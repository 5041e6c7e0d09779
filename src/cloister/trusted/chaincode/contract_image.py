"""The contract that an enclave runs: its files, their digest, and the loaded object.

Trust level: trusted; reads the contract's files when the enclave starts, never later. What is hashed is what is run.
A contract is a Python file and the modules next to it that it imports, found in the syntax tree without running
anything. Beside them it may import what of the standard library only computes, and `cloister.contract`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cloister.contract import ContractChaincode, ContractInvalid
from cloister.contract.load import chaincode_of, contract_classes_of
from cloister.errors import CloisterError, UsageError
from cloister.wire.framing import encode_frame

from .confinement import confined
from .contract_program import API, ContractProgram, may_import

_TAG = b"cloister/contract-image/1"
_CLOCKS = frozenset({"now", "today", "utcnow"})


@dataclass(frozen=True, slots=True)
class LoadedContract:
    """A contract for one execution, and the context to run it in. `enter` comes before each of its steps."""

    chaincode: ContractChaincode
    context: Context
    enter: Callable[[], None]


@dataclass(frozen=True, slots=True)
class ContractImage:
    """A contract that can be loaded. `chaincode` tells what functions it has, and runs none of them.

    `digest` is 32 bytes over the reference's class name and all files. `load` gives the contract with nothing in it
    that an execution before has left; it raises whatever the contract's modules raise.
    """

    chaincode: ContractChaincode
    digest: bytes
    load: Callable[[], LoadedContract]


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


def contract_files(path: Path) -> dict[str, bytes]:
    """Module names and contents of the file and all files in its folder that it imports, directly or not, sorted.

    Raises: UsageError if one imports what is neither measured nor allowed, or asks a clock.
    """
    folder = path.resolve().parent
    found: dict[str, bytes] = {}
    waiting = [path.stem]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (folder / f"{name}.py").read_bytes()
            waiting.extend(_neighbours(f"{name}.py", found[name], folder))
    return dict(sorted(found.items()))


def contract_digest(reference: str) -> bytes:
    """32 bytes: what the measurement takes of a contract, found without running it. Raises: UsageError."""
    path, class_name = split_reference(reference)
    return _digest(path, class_name, contract_files(path))


def load_contract_image(reference: str) -> ContractImage:
    """Load a contract for confidential use. Raises: UsageError with the reason."""
    path, class_name = split_reference(reference)
    files = contract_files(path)
    program = ContractProgram(files, path.stem)
    with confined():
        try:
            main = program.load().main
            chaincode = chaincode_of(main, class_name, str(path))
        except CloisterError:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ContractInvalid(f"contract {path.name} does not load: {told}") from error
    found = contract_classes_of(main, class_name)
    if isinstance(found, ContractChaincode):
        load = functools.partial(_load_object, program, next(_names_of(main, [found])))
    else:
        load = functools.partial(_load_classes, program, tuple(_names_of(main, found)), chaincode)
    return ContractImage(chaincode, _digest(path, class_name, files), load)


def _names_of(module: ModuleType, objects: Sequence[object]) -> Iterator[str]:
    """By what names they stand in their module: where the next execution's are found, without searching."""
    for item in objects:
        yield next(name for name, value in vars(module).items() if value is item)


def _load_object(program: ContractProgram, name: str) -> LoadedContract:
    loaded = program.load()
    return LoadedContract(getattr(loaded.main, name), loaded.context, loaded.enter)


def _load_classes(program: ContractProgram, names: Sequence[str], known: ContractChaincode) -> LoadedContract:
    loaded = program.load()
    contracts = loaded.context.run(lambda: [getattr(loaded.main, name)() for name in names])
    return LoadedContract(known.renewed(contracts), loaded.context, loaded.enter)


def _digest(path: Path, class_name: str, files: Mapping[str, bytes]) -> bytes:
    lines = [
        encode_frame(_TAG, (f"{name}.py".encode(), hashlib.sha256(content).digest())) for name, content in files.items()
    ]
    return hashlib.sha256(encode_frame(_TAG, (path.name.encode(), class_name.encode(), *lines))).digest()


def _neighbours(file: str, content: bytes, folder: Path) -> list[str]:
    """Names of files next to the contract that this one imports. Raises: UsageError."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"contract: {file}: {error}") from error
    neighbours: list[str] = []
    modules: set[str] = set()
    for node in ast.walk(tree):
        for module, names in _imports_of(node):
            modules.add(module.partition(".")[0])
            if (folder / f"{module}.py").is_file() and not may_import(module):
                neighbours.append(module)
            elif not may_import(module, names):
                raise UsageError(
                    f"contract: {file} line {getattr(node, 'lineno', 0)}: "
                    f"a confidential contract must not import {module}",
                    hint=f"allowed are files next to it, {API}, and of the standard library what only computes: "
                    "docs/contracts.md lists it",
                )
    if "datetime" in modules:
        _refuse_clocks(file, ast.walk(tree))
    return neighbours


def _imports_of(node: ast.AST) -> list[tuple[str, tuple[str, ...]]]:
    """(module, names taken from it) of an import statement; a relative import has dots in front."""
    if isinstance(node, ast.Import):
        return [(alias.name, ()) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [("." * node.level + (node.module or ""), tuple(alias.name for alias in node.names))]
    return []


def _refuse_clocks(file: str, nodes: Iterable[ast.AST]) -> None:
    """A host sets its clock as it likes, and endorsers' clocks differ."""
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CLOCKS:
            raise UsageError(
                f"contract: {file} line {node.lineno}: a confidential contract must not ask the clock "
                f"({node.func.attr}): the host sets it",
                hint="get_tx_timestamp gives the client's claim; a trusted time needs somebody to tell it, as in the "
                "escrow sample",
            )
