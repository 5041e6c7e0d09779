"""Whom a client seals to: the registry's answer is appraised by the client's own trust, link by link."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cloister.client.credentials import Trust, verify_credentials
from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.measurement import compute_ledger_measurement
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.chaincode.keys import describe_key_set, make_key_ring
from cloister.trusted.protocol.key_set import parse_descriptor, sign_descriptor
from cloister.wire.messages import KeysMade
from support.chain import CHANNEL
from support.enclaves import (
    CHAINCODE,
    ENDORSEMENTS,
    GENESIS,
    bring_up_first,
    load_sample,
    make_enclave,
    make_ledger,
    provision_message,
    simulation_policy,
    status_of,
)
from support.replace import replaced


@pytest.fixture(scope="module")
def made() -> tuple[KeysMade, bytes]:
    enclave = make_enclave(load_sample("auction"))
    keys = bring_up_first(enclave, make_ledger())
    return keys, status_of(enclave).measurement


@pytest.fixture
def trust(made: tuple[KeysMade, bytes]) -> Trust:
    return Trust(simulation_policy(), GENESIS, frozenset({made[1]}), frozenset({compute_ledger_measurement()}))


def answer(made: tuple[KeysMade, bytes], **changes: Any) -> bytes:
    document: dict[str, Any] = {
        "sequence": 1,
        "version": made[1].hex(),
        "descriptor": base64.b64encode(made[0].descriptor).decode(),
        "evidence": base64.b64encode(made[0].evidence).decode(),
        "endorsements": base64.b64encode(ENDORSEMENTS).decode(),
        **changes,
    }
    return json.dumps(document).encode()


def reason(encoded: bytes, trust: Trust, channel: str = CHANNEL, chaincode: str = CHAINCODE) -> str:
    try:
        verify_credentials(encoded, channel=channel, chaincode=chaincode, trust=trust)
    except Refused as refused:
        return refused.reason
    except MalformedInput:
        return "malformed"
    return "accepted"


def test_honest_credentials_are_accepted(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    credentials = verify_credentials(answer(made), channel=CHANNEL, chaincode=CHAINCODE, trust=trust)
    assert credentials.verdict.simulated


def test_an_enclave_that_obeys_another_ledger_enclave_is_refused(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    assert reason(answer(made), replaced(trust, ledger_measurements=frozenset({bytes(32)}))) == "ledger-measurement"
    assert reason(answer(made), replaced(trust, ledger_measurements=frozenset())) == "ledger-measurement"


def test_c1_a_measurement_that_the_client_does_not_pin_is_refused(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    assert reason(answer(made), replaced(trust, measurements=frozenset())) == "measurement"
    assert reason(answer(made), replaced(trust, measurements=frozenset({bytes(32)}))) == "measurement"
    assert (
        reason(answer(made, version="00" * 32), replaced(trust, measurements=frozenset({bytes(32)}))) == "measurement"
    )


def test_c2_simulated_evidence_is_refused_by_default(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    assert reason(answer(made), replaced(trust, policy=AppraisalPolicy())) == "kind"


def test_another_channel_chaincode_genesis_or_sequence_is_refused(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    assert reason(answer(made), trust, channel="other") == "binding"
    assert reason(answer(made), trust, chaincode="other") == "binding"
    assert reason(answer(made), replaced(trust, genesis_hash=bytes(32))) == "binding"
    assert reason(answer(made), replaced(trust, registry="other")) == "binding"
    assert reason(answer(made, sequence=2), trust) == "binding"


def test_b9_a_request_key_swapped_in_the_registry_is_refused(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    """The middleman keeps the genuine evidence and puts a descriptor with keys of his own beside it."""
    genuine = parse_descriptor(made[0].descriptor)
    ring = make_key_ring(
        genesis_hash=GENESIS,
        chaincode=CHAINCODE,
        sequence=1,
        measurement=made[1],
        earlier=None,
        random_bytes=bytes,
    )
    own = describe_key_set(ring, channel=CHANNEL, maker=genuine.maker)
    forged = sign_descriptor(own, ring.current.result_key)
    assert reason(answer(made, descriptor=base64.b64encode(forged).decode()), trust) == "descriptor"


def test_evidence_of_an_enclave_that_did_not_sign_the_descriptor_is_refused(
    made: tuple[KeysMade, bytes], trust: Trust
) -> None:
    other = make_enclave(load_sample("auction"))
    other.handle(1, provision_message("Org2MSP"))
    evidence = base64.b64encode(status_of(other).evidence).decode()
    assert reason(answer(made, evidence=evidence), trust) == "descriptor"


def test_an_uninitialised_chaincode_is_told_as_such(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    assert reason(answer(made, descriptor="", evidence="", endorsements=""), trust) == "not-initialised"


def test_c6_keys_of_a_revoked_maker_are_refused(made: tuple[KeysMade, bytes], trust: Trust) -> None:
    assert reason(answer(made, revoked=True), trust) == "revoked"
    verify_credentials(answer(made, revoked=False), channel=CHANNEL, chaincode=CHAINCODE, trust=trust)


@pytest.mark.parametrize(
    "change",
    [
        {"descriptor": "no base64!"},
        {"evidence": "AAAA"},
        {"endorsements": ""},
        {"version": "zz"},
        {"sequence": "one"},
        {"sequence": True},
        {"sequence": 0},
    ],
)
def test_malformed_answers_are_refused(made: tuple[KeysMade, bytes], trust: Trust, change: dict[str, Any]) -> None:
    assert reason(answer(made, **change), trust) in {"malformed", "binding"}


@pytest.mark.parametrize("encoded", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_answers_that_are_no_document_are_refused(trust: Trust, encoded: bytes) -> None:
    assert reason(encoded, trust) == "malformed"
