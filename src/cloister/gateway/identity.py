"""Who acts: an identity (MSP ID and certificate) and a signer (anything that signs a digest)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from cloister.errors import EnvironmentFailed, MalformedInput, Refused, UsageError
from cloister.fabric.identity import SerializedIdentity, to_low_s

_CURVES = (ec.SECP256R1.name, ec.SECP384R1.name)
_OVER_DIGEST = ec.ECDSA(Prehashed(hashes.SHA256()))
Signer = Callable[[bytes], bytes | Awaitable[bytes]]
"""Signs a SHA-256 digest (32 bytes); returns DER ECDSA with low S. May be a coroutine function, for a remote HSM."""


@dataclass(frozen=True)
class Identity:
    """An MSP ID and the identity's certificate in PEM."""

    msp_id: str
    credentials: bytes

    @cached_property
    def creator(self) -> bytes:
        """The serialised identity, as it stands in proposals."""
        return SerializedIdentity(self.msp_id, self.credentials).encode()

    def check(self, now: datetime | None = None) -> None:
        """Refuse what no peer would accept. Raises: MalformedInput (no certificate); Refused(reason="expired")."""
        certificate = SerializedIdentity(self.msp_id, self.credentials).certificate()
        moment = now or datetime.now(UTC)
        if moment > certificate.not_valid_after_utc:
            raise Refused(
                f"certificate of {self.msp_id} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
                reason="expired",
                hint="enrol the identity again",
            )
        if moment < certificate.not_valid_before_utc:
            raise Refused(
                f"certificate of {self.msp_id} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} only",
                reason="expired",
                hint="check this machine's clock",
            )


def load_identity(msp_id: str, certificate: Path | str) -> Identity:
    """An identity from a PEM file. Raises: EnvironmentFailed (file), MalformedInput (content), Refused (expired)."""
    identity = Identity(msp_id, _read(Path(certificate)))
    try:
        identity.check()
    except MalformedInput as error:
        raise MalformedInput(f"{certificate}: no X.509 certificate in PEM", field="certificate") from error
    return identity


def load_signer(private_key: Path | str) -> Signer:
    """A signer from a private key in a PEM file. Raises: EnvironmentFailed, MalformedInput, UsageError."""
    return new_private_key_signer(_read(Path(private_key)), name=str(private_key))


def new_private_key_signer(private_key_pem: bytes, *, name: str = "private key") -> Signer:
    """A signer for an ECDSA private key (P-256 or P-384, unencrypted PEM).

    Raises: MalformedInput if it is no such PEM; UsageError for other kinds of key.
    """
    try:
        key = serialization.load_pem_private_key(private_key_pem, password=None)
    except UnsupportedAlgorithm as error:
        raise UsageError(f"{name}: expected an ECDSA key on P-256 or P-384, got an unsupported kind") from error
    except (ValueError, TypeError) as error:
        raise MalformedInput(f"{name}: no unencrypted private key in PEM", field="private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(f"{name}: expected an ECDSA key on P-256 or P-384, got {type(key).__name__}")
    if key.curve.name not in _CURVES:
        raise UsageError(f"{name}: expected an ECDSA key on P-256 or P-384, got {key.curve.name}")
    return _EcdsaSigner(key)


async def sign_digest(signer: Signer, digest: bytes) -> bytes:
    """The signature, awaited if need be."""
    signature = signer(digest)
    return await signature if inspect.isawaitable(signature) else signature


class _EcdsaSigner:
    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def __call__(self, digest: bytes) -> bytes:
        signature = self._key.sign(digest, _OVER_DIGEST)
        return to_low_s(signature, self._key.curve)

    def __repr__(self) -> str:
        return f"<ECDSA signer on {self._key.curve.name}>"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
