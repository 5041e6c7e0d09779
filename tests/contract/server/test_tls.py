from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from cloister.contract.server import ServerNotStarted, ServerTls
from support.tls import make_certificate

KEY, CERTIFICATE = make_certificate("server")
OTHER_KEY, OTHER_CERTIFICATE = make_certificate("other")


def test_a_fitting_key_works_with_and_without_a_client_ca() -> None:
    ServerTls(KEY, CERTIFICATE).context()
    ServerTls(KEY, CERTIFICATE, OTHER_CERTIFICATE).context()
    ServerTls(KEY, CERTIFICATE + OTHER_CERTIFICATE * 3, OTHER_CERTIFICATE * 3).context()


def _encrypted(key: bytes) -> bytes:
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )


@pytest.mark.parametrize(
    ("key", "certificate", "client_ca"),
    [
        (OTHER_KEY, CERTIFICATE, None),
        (b"", CERTIFICATE, None),
        (KEY, b"", None),
        (_encrypted(KEY), CERTIFICATE, None),
        (KEY, CERTIFICATE * 500, None),
        (KEY, CERTIFICATE, b""),
        (KEY, CERTIFICATE, b"no certificate"),
        (KEY, CERTIFICATE, b"\xff"),
    ],
    ids=["other key", "no key", "no certificate", "password", "too long", "empty CA", "no CA", "no text"],
)
def test_what_does_not_fit_together_is_refused(key: bytes, certificate: bytes, client_ca: bytes | None) -> None:
    with pytest.raises(ServerNotStarted):
        ServerTls(key, certificate, client_ca).context()
