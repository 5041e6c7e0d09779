"""What `cloister init` does with what others have posted, against a registry and hosts that are played here."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cloister.client.initialise import Initialiser
from cloister.gateway import Network

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
            self.imported.append(self.posted["exporter_sequence"])
            return b"{}"
        return json.dumps(answers[name]).encode()

    async def submit(self, name: str, *arguments: Any, **options: Any) -> bytes:
        assert name == "put_export"
        self.posted = {"export": "fresh", "exporter": "old", "exporter_sequence": 2}
        return b"OK"


@pytest.mark.parametrize("posted", [{"export": ""}, {"export": "stale", "exporter": "old", "exporter_sequence": 1}])
async def test_c9_stale_keys_that_others_post_do_not_keep_a_newcomer_out(posted: dict[str, Any]) -> None:
    """An organisation that kept an enclave of the definition before can post its keys for anybody."""
    network = Played(posted)
    initialiser = Initialiser(
        cast("Network", network),
        chaincode="vault",
        registry="registry",
        msp_id="Org2MSP",
        policy=None,
        ledger_measurement=LEDGER,
        progress=lambda text: None,
    )
    done = await initialiser.run()
    assert network.imported == [2]
    assert not done.made_keys
