"""An attested session between a chaincode enclave and a ledger enclave, over hosts that neither of them believes.

Trust level: trusted, pure (fresh randomness is handed in).
Three messages: *hello* (initiator: evidence, nonce), *welcome* (responder: evidence, a secret sealed to the initiator's
attested HPKE key; signed), *confirm* (initiator: a secret sealed to the responder's attested HPKE key; signed). Each
signature is by the attested signing key over the transcript so far, so each side knows that the other one, with exactly
this evidence, is there now; both secrets go into the keys, so a replayed message leads to keys that nobody knows.
After that: questions and answers, AES-256-GCM, one key per direction (nothing can be reflected), nonce = the question's
number. The responder takes numbers in ascending order only, each once; the initiator takes one answer per number. What
the peers are is for the caller to judge: it appraises the evidence in hello and welcome before it goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.errors import Refused
from cloister.trusted.protocol.hpke import HpkeKey, seal_to
from cloister.wire.framing import decode_frame, decode_u64, encode_frame, require_length, u64

_TAG_HELLO = b"cloister/session/hello/1"
_TAG_WELCOME = b"cloister/session/welcome/1"
_TAG_CONFIRM = b"cloister/session/confirm/1"
_TAG_SIGNED = b"cloister/session/signed/1"
_TAG_INFO = b"cloister/session/hpke/1"
_TAG_KEYS = b"cloister/session/keys/1"
_TAG_SEALED = b"cloister/session/sealed/1"
_SECRET_BYTES = 32
SESSION_ID_BYTES = 16
MAX_PENDING = 100_000
"""Questions of one session without an answer; the oldest is given up for one more, as calls end without theirs."""

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Party:
    """One side's own part: evidence and endorsements, encoded, and the private keys that the evidence attests."""

    evidence: bytes
    endorsements: bytes
    signing_key: Ed25519PrivateKey
    hpke_key: HpkeKey


@dataclass(frozen=True, slots=True)
class Counterpart:
    """The other side's appraised keys: Ed25519 signing key (32 bytes) and HPKE key (1216 bytes)."""

    signing_key: bytes
    hpke_key: bytes


class Initiator:
    """The chaincode enclave's side while a session is made: `hello`, then `evidence_of` the welcome, then `confirm`."""

    def __init__(self, party: Party, random_bytes: RandomBytes) -> None:
        self._party = party
        self._random = random_bytes
        nonce = random_bytes(_SECRET_BYTES)
        self.hello = encode_frame(_TAG_HELLO, (party.evidence, party.endorsements, nonce))

    def evidence_of(self, welcome: bytes) -> tuple[bytes, bytes]:
        """The responder's (evidence, endorsements): for the caller to appraise. Raises: MalformedInput."""
        body, _signature = _split(welcome)
        evidence, endorsements, _wrapped = decode_frame(_TAG_WELCOME, body, count=3)
        return evidence, endorsements

    def confirm(self, welcome: bytes, responder: Counterpart) -> tuple[bytes, Asker]:
        """(confirm message, session). Raises: Refused(reason="session"); MalformedInput."""
        body, signature = _split(welcome)
        _verify(responder.signing_key, signature, _transcript(self.hello, body))
        _evidence, _endorsements, wrapped = decode_frame(_TAG_WELCOME, body, count=3)
        theirs = _opened(self._party.hpke_key, wrapped, self.hello)
        ours = self._random(_SECRET_BYTES)
        transcript = _transcript(self.hello, welcome)
        confirm_body = encode_frame(_TAG_CONFIRM, (seal_to(responder.hpke_key, ours, _info(transcript)),))
        whole = _transcript(self.hello, welcome, confirm_body)
        confirm = encode_frame(_TAG_SIGNED, (confirm_body, self._party.signing_key.sign(whole)))
        return confirm, Asker(*_derive(theirs, ours, whole))


class Responder:
    """The ledger enclave's side of one session that is being made; the initiator has been appraised."""

    def __init__(self, party: Party, hello: bytes, initiator: Counterpart, random_bytes: RandomBytes) -> None:
        """Raises: MalformedInput if the appraised key is none."""
        self._party = party
        self._hello = hello
        self._initiator = initiator
        self._secret = random_bytes(_SECRET_BYTES)
        wrapped = seal_to(initiator.hpke_key, self._secret, _info(_transcript(hello)))
        body = encode_frame(_TAG_WELCOME, (party.evidence, party.endorsements, wrapped))
        self.welcome = encode_frame(_TAG_SIGNED, (body, party.signing_key.sign(_transcript(hello, body))))

    def establish(self, confirm: bytes) -> Answerer:
        """The session. Raises: Refused(reason="session"); MalformedInput."""
        body, signature = _split(confirm)
        whole = _transcript(self._hello, self.welcome, body)
        _verify(self._initiator.signing_key, signature, whole)
        (wrapped,) = decode_frame(_TAG_CONFIRM, body, count=1)
        theirs = _opened(self._party.hpke_key, wrapped, self._hello, self.welcome)
        return Answerer(*_derive(self._secret, theirs, whole))


def hello_evidence(hello: bytes) -> tuple[bytes, bytes]:
    """The initiator's (evidence, endorsements), for the responder to appraise. Raises: MalformedInput."""
    evidence, endorsements, nonce = decode_frame(_TAG_HELLO, hello, count=3)
    require_length(nonce, (_SECRET_BYTES,), "session nonce")  # the hello is kept until the confirm comes
    return evidence, endorsements


class Asker:
    """The initiator's end of a session."""

    def __init__(self, session_id: bytes, ask_key: bytes, answer_key: bytes) -> None:
        self.session_id = session_id
        self._ask = AESGCM(ask_key)
        self._answer = AESGCM(answer_key)
        self._next = 0
        self._pending: dict[int, None] = {}

    def seal(self, question: bytes) -> tuple[int, bytes]:
        """(the question's number, the sealed question)."""
        if len(self._pending) >= MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        number, self._next = self._next, self._next + 1
        self._pending[number] = None
        sealed = self._ask.encrypt(_nonce(number), question, self.session_id)
        return number, encode_frame(_TAG_SEALED, (self.session_id, u64(number), sealed))

    def open(self, number: int, sealed: bytes) -> bytes:
        """The answer to one question, once. Raises: Refused(reason="session"); MalformedInput."""
        if number not in self._pending:
            raise Refused("session refused: nothing was asked", reason="session")
        self.forget(number)
        session_id, encoded_number, ciphertext = decode_frame(_TAG_SEALED, sealed, count=3)
        if session_id != self.session_id or decode_u64(encoded_number, "number") != number:
            raise Refused("session refused: an answer to something else", reason="session")
        return _decrypt(self._answer, number, ciphertext, self.session_id)

    def forget(self, number: int) -> None:
        """No answer will be taken any more."""
        self._pending.pop(number, None)


class Answerer:
    """The responder's end of a session."""

    def __init__(self, session_id: bytes, ask_key: bytes, answer_key: bytes) -> None:
        self.session_id = session_id
        self._ask = AESGCM(ask_key)
        self._answer = AESGCM(answer_key)
        self._least = 0

    def open(self, sealed: bytes) -> tuple[int, bytes]:
        """(number, question). Raises: Refused(reason="session") also if its number is not above all before it."""
        session_id, encoded_number, ciphertext = decode_frame(_TAG_SEALED, sealed, count=3)
        number = decode_u64(encoded_number, "number")
        if session_id != self.session_id or number < self._least:
            raise Refused("session refused: a question of another session, or again", reason="session")
        question = _decrypt(self._ask, number, ciphertext, self.session_id)
        self._least = number + 1
        return number, question

    def seal(self, number: int, answer: bytes) -> bytes:
        """The sealed answer. Call it once for each question opened: its number is the nonce."""
        sealed = self._answer.encrypt(_nonce(number), answer, self.session_id)
        return encode_frame(_TAG_SEALED, (self.session_id, u64(number), sealed))


def sealed_session(sealed: bytes) -> bytes:
    """Which session a sealed question claims to belong to (16 bytes). Raises: MalformedInput."""
    return require_length(decode_frame(_TAG_SEALED, sealed, count=3)[0], (SESSION_ID_BYTES,), "session id")


def _split(message: bytes) -> tuple[bytes, bytes]:
    body, signature = decode_frame(_TAG_SIGNED, message, count=2)
    return body, require_length(signature, (64,), "session signature")


def _transcript(*messages: bytes) -> bytes:
    return encode_frame(_TAG_SIGNED, [hashlib.sha256(message).digest() for message in messages])


def _info(transcript: bytes) -> bytes:
    return encode_frame(_TAG_INFO, (transcript,))


def _opened(key: HpkeKey, wrapped: bytes, *messages: bytes) -> bytes:
    return require_length(key.open(wrapped, _info(_transcript(*messages))), (_SECRET_BYTES,), "session secret")


def _verify(key: bytes, signature: bytes, transcript: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, transcript)
    except (InvalidSignature, ValueError) as error:
        raise Refused("session refused: the other side's signature does not match", reason="session") from error


def _derive(responders: bytes, initiators: bytes, transcript: bytes) -> tuple[bytes, bytes, bytes]:
    """(session id, key for questions, key for answers)."""
    info = encode_frame(_TAG_KEYS, (transcript,))
    length = SESSION_ID_BYTES + 64
    derived = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(responders + initiators)
    return derived[:SESSION_ID_BYTES], derived[SESSION_ID_BYTES:-32], derived[-32:]


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _decrypt(key: AESGCM, number: int, ciphertext: bytes, session_id: bytes) -> bytes:
    try:
        return key.decrypt(_nonce(number), ciphertext, session_id)
    except (InvalidTag, ValueError) as error:
        raise Refused("session refused: a message does not open", reason="session") from error
