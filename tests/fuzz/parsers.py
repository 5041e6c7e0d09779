"""Every parser of untrusted bytes, found by its shape: a public, plain function whose one needed argument is `bytes`.

So a new parser is fuzzed from the day it is written. The few that need more stand in `_others`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric import ec

PACKAGES = ("cloister.fabric", "cloister.wire", "cloister.trusted")
Parser = Callable[[bytes], object]
_NOT_PARSERS = ("compute_", "encode_", "wrap_")
"""Functions on bytes of one's own."""


def all_parsers() -> dict[str, Parser]:
    """Name to parser. Each may raise CloisterError for any bytes, and nothing else."""
    found: dict[str, Parser] = {}
    for module in modules():
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not name.startswith(("_", *_NOT_PARSERS))
            if own and _needs_bytes_alone(function) and not inspect.iscoroutinefunction(function):
                found[f"{module.__name__}.{name}"] = function
    return found | _others()


def _needs_bytes_alone(function: Parser) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    needed = [item.annotation for item in parameters if item.default is item.empty]
    return needed == ["bytes"] and parameters[0].annotation == "bytes"


def modules() -> Iterator[ModuleType]:
    """All modules of the packages; generated code and entry points are left out."""
    for package in PACKAGES:
        yield importlib.import_module(package)
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not info.name.endswith(("__main__", "_pb2")):
                yield importlib.import_module(info.name)


def tags() -> list[bytes]:
    """What frames may begin with: the constants of the modules, and the names of the messages."""
    found: set[bytes] = set()
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, bytes) and 3 <= len(value) <= 64:
                found.add(value)
            elif inspect.isclass(value) and is_dataclass(value):
                found.add(name.encode())
    return sorted(found)


def _others() -> dict[str, Parser]:
    from cloister.fabric.der import INTEGER, SEQUENCE, read_element
    from cloister.fabric.identity import decode_serialized_identity
    from cloister.trusted.chaincode.keys import decode_key_ring
    from cloister.trusted.ledger.msp import MspManager
    from cloister.trusted.ledger.policies import compile_signature_policy
    from cloister.trusted.ledger.signatures import to_low_s, verify_signature
    from cloister.trusted.ledger.transaction import parse_transaction
    from cloister.wire.stream import FrameBuffer

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {
        "read_element": lambda encoded: [read_element(encoded, 0, tag) for tag in (SEQUENCE, INTEGER)],
        "certificate": lambda encoded: decode_serialized_identity(encoded).certificate(),
        "decode_key_ring": lambda encoded: decode_key_ring(encoded, genesis_hash=bytes(32), chaincode="cc"),
        "compile_signature_policy": lambda encoded: compile_signature_policy(encoded, MspManager({})),
        "verify_signature": lambda encoded: verify_signature(key, b"message", encoded),
        "to_low_s": lambda encoded: to_low_s(encoded, "secp256r1"),
        "parse_transaction": lambda encoded: parse_transaction(encoded, 0),
        "FrameBuffer": lambda encoded: FrameBuffer().feed(encoded),
    }
