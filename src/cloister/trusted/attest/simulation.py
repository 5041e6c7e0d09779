"""The kind `simulation`: a statement about an enclave, signed by a simulation authority instead of hardware.

Trust level: trusted, pure. It protects nothing: whoever holds the authority's key can state anything. It exists so
that all other code is the same with and without hardware. No key is shipped; an empty authority list accepts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloister.errors import MalformedInput, Refused
from cloister.wire.framing import decode_frame, encode_frame, require_length, u32

from .evidence import HASH_BYTES, REPORT_DATA_BYTES

_TAG = b"cloister/simulation-statement/1"
_TAG_SIGNED = b"cloister/simulation-statement-signed/1"
_DEBUG = b"debug"


@dataclass(frozen=True, slots=True)
class SimulationStatement:
    """measurement 32 bytes, report_data 64 bytes, authority 32 bytes (Ed25519 public key), svn a small number."""

    measurement: bytes
    svn: int
    report_data: bytes
    authority: bytes


def sign_statement(authority: Ed25519PrivateKey, *, measurement: bytes, svn: int, report_data: bytes) -> bytes:
    """A signed simulation statement. It always says `debug`, as a debug enclave would."""
    body = encode_frame(_TAG, (measurement, u32(svn), report_data, _DEBUG, authority.public_key().public_bytes_raw()))
    return encode_frame(_TAG_SIGNED, (body, authority.sign(body)))


def verify_statement(encoded: bytes, authorities: frozenset[bytes]) -> SimulationStatement:
    """Check a simulation statement's signature under one of the accepted authorities (32 bytes each).

    Raises: Refused(reason="simulation-authority" or "statement"); MalformedInput.
    """
    body, signature = decode_frame(_TAG_SIGNED, encoded, count=2)
    measurement, svn, report_data, debug, authority = decode_frame(_TAG, body, count=5)
    require_length(measurement, (HASH_BYTES,), "measurement")
    require_length(report_data, (REPORT_DATA_BYTES,), "report data")
    if debug != _DEBUG or len(svn) != 4:
        raise MalformedInput("simulation statement: malformed", field="statement")
    if authority not in authorities:
        raise Refused(
            "simulated evidence refused: its authority is not in the policy",
            reason="simulation-authority",
            hint="simulation protects nothing; for development name the authority in the appraisal policy",
        )
    try:
        Ed25519PublicKey.from_public_bytes(authority).verify(signature, body)
    except (InvalidSignature, ValueError) as error:
        raise Refused("simulated evidence refused: bad signature", reason="statement") from error
    return SimulationStatement(measurement, int.from_bytes(svn, "big"), report_data, authority)
