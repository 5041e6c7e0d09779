"""What `cloister init` does with what others have posted, against a registry and hosts that are played here."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cloister.client.initialise import Initialiser
from cloister.gateway import EndorseError, EvaluateError, Network

LEDGER = bytes(32)


class Played:
    """A network with a registry and two hosts: Org1's enclave has the keys of sequence 2, Org2's is new."""

    def __init__(self, posted: dict[str, Any]) -> None:
        self.posted = posted
        self.imported: list[int] = []
        self.name = "mychannel"
        self.gateway = SimpleNamespace(identity=SimpleNamespace(msp_id="Org2MSP"))

    def get_contract(self, name: str) -> Any:
        return SimpleNamespace(evaluate=self.evaluate, submit_transaction=self.submit)

    async def evaluate(self, name: str, *, arguments: Any = (), endorsing_organizations: Any = ()) -> bytes:
        own = list(endorsing_organizations) == ["Org2MSP"]
        ready = 2 in self.imported
        answers: dict[str, Any] = {
            "get_configuration": {"policy": "{}", "ledger_measurement": LEDGER.hex()},
            "get_key_set": {"sequence": 2, "descriptor": "made", "evidence": "maker"},
            "list_enclaves": [
                {"evidence_id": name, "msp_id": msp_id, "revoked": False}
                for name, msp_id in (("new", "Org2MSP"), ("old", "Org1MSP"))
            ],
            "get_export": self.posted,
            "cloister:provision": {"evidence": "mine"},
            "cloister:export": {"export": "fresh", "exporter": "old", "exporter_sequence": 2},
            "cloister:status": {
                "state": "ready" if ready or not own else "provisioned",
                "sequence": 2,
                "measurement": "",
                "evidence": "mine",
                "evidence_id": "new",
                "key_set_id": "",
                "kind": "",
            },
        }
        if name == "cloister:import":
            if self.posted["export"] == "of a revoked enclave":
                raise EvaluateError("enclave refused: revoked")
            self.imported.append(self.posted["exporter_sequence"])
            return b"{}"
        return json.dumps(answers[name]).encode()

    async def submit(self, name: str, *arguments: Any, **options: Any) -> bytes:
        assert name == "put_export"
        self.posted = {"export": "fresh", "exporter": "old", "exporter_sequence": 2}
        return b"OK"


def initialiser(network: Played) -> Initialiser:
    """Of Org2's new enclave."""
    return Initialiser(
        cast("Network", network),
        chaincode="vault",
        registry="registry",
        msp_id="Org2MSP",
        policy=None,
        ledger_measurement=LEDGER,
        progress=lambda text: None,
    )


@pytest.mark.parametrize(
    "posted",
    [
        {"export": ""},
        {"export": "stale", "exporter": "old", "exporter_sequence": 1},
        {"export": "of a revoked enclave", "exporter": "old", "exporter_sequence": 2},
    ],
)
async def test_c9_stale_keys_that_others_post_do_not_keep_a_newcomer_out(posted: dict[str, Any]) -> None:
    """An organisation that kept an enclave of the definition before can post its keys for anybody."""
    network = Played(posted)
    done = await initialiser(network).run()
    assert network.imported == [2]
    assert not done.made_keys


class PlayedJunk(Played):
    """Org0's host, which is asked first, answers with something else than keys."""

    def __init__(self, junk: dict[str, Any]) -> None:
        super().__init__({"export": ""})
        self.junk = junk

    async def evaluate(self, name: str, *, arguments: Any = (), endorsing_organizations: Any = ()) -> bytes:
        answer = await super().evaluate(name, arguments=arguments, endorsing_organizations=endorsing_organizations)
        if name == "list_enclaves":
            return json.dumps(
                [{"evidence_id": "rogue", "msp_id": "Org0MSP", "revoked": False}, *json.loads(answer)]
            ).encode()
        return json.dumps(self.junk).encode() if list(endorsing_organizations) == ["Org0MSP"] else answer

    async def submit(self, name: str, *arguments: Any, **options: Any) -> bytes:
        if arguments[3] == "junk":
            raise EndorseError("key export refused: the exporter's signature does not match")
        return await super().submit(name, *arguments, **options)


@pytest.mark.parametrize("junk", [{}, {"export": "junk", "exporter": "rogue", "exporter_sequence": 2}])
async def test_c9_a_host_that_hands_out_junk_keeps_no_newcomer_out(junk: dict[str, Any]) -> None:
    network = PlayedJunk(junk)
    await initialiser(network).run()
    assert network.imported == [2]


class PlayedUpgrade(Played):
    """Sequence 3 has no keys yet. Something was covered under 2, whose keys Org1's enclave has; Org3's has 1's only.

    Org4 took part in sequence 2 and is gone.
    """

    def __init__(self, posted: dict[str, Any], keeper: str) -> None:
        super().__init__(posted)
        self.keeper = keeper
        self.asked: list[str] = []

    async def evaluate(self, name: str, *, arguments: Any = (), endorsing_organizations: Any = ()) -> bytes:
        organisation = next(iter(endorsing_organizations), "")
        if name == "get_key_set":
            return json.dumps({"sequence": 3, "descriptor": "", "evidence": ""}).encode()
        if name == "list_enclaves" and len(arguments) == 2:
            members = {"1": ("Org1MSP", "Org3MSP"), "2": ("Org1MSP", "Org4MSP")}[arguments[1]]
            return json.dumps([{"evidence_id": f"of {item}", "msp_id": item} for item in members]).encode()
        if name == "cloister:make-keys":
            if 2 not in self.imported:
                raise EvaluateError("enclave refused: earlier-keys")
            return json.dumps({"evidence": "made", "descriptor": "made"}).encode()
        if name == "cloister:export":
            self.asked.append(organisation)
            sequence = 2 if organisation == self.keeper else 1
            return json.dumps({"export": "fresh", "exporter": "x", "exporter_sequence": sequence}).encode()
        if name == "cloister:status" and organisation == "Org4MSP":
            raise EvaluateError("no such chaincode")
        if name == "cloister:activate":
            return b"{}"
        if name == "cloister:import" and self.posted["export"] == "broken":
            raise EvaluateError("enclave refused: export")
        return await super().evaluate(name, arguments=arguments, endorsing_organizations=endorsing_organizations)

    async def submit(self, name: str, *arguments: Any, **options: Any) -> bytes:
        if name == "put_export":
            _, exporter, _, export, sequence = arguments
            self.posted = {"export": export, "exporter": exporter, "exporter_sequence": int(sequence)}
        return b"OK"


@pytest.mark.parametrize("keeper", ["Org1MSP", "Org3MSP"])
@pytest.mark.parametrize("export", ["", "stale", "broken"])
async def test_c9_stale_keys_posted_for_the_first_enclave_after_an_upgrade_do_not_keep_it_out(
    export: str, keeper: str
) -> None:
    """Neither what colluders post, nor what they hand out when asked, nor who is gone: somebody has the keys so far."""
    network = PlayedUpgrade({"export": export, "exporter": "old", "exporter_sequence": 1}, keeper)
    done = await initialiser(network).run()
    assert done.made_keys
    assert network.imported[-1] == 2
    assert "Org4MSP" not in network.asked
