"""The public names, fixed: an accidental one would be a promise."""

from __future__ import annotations

import cloister.gateway


def test_public_names_are_those_that_are_meant() -> None:
    assert set(cloister.gateway.__all__) == {
        "BlockEvent",
        "ChaincodeEvent",
        "Checkpointer",
        "Commit",
        "CommitError",
        "CommitStatus",
        "CommitStatusError",
        "Contract",
        "Deadlines",
        "EndorseError",
        "Endpoint",
        "EvaluateError",
        "EventsError",
        "EventsRequest",
        "FileCheckpointer",
        "FilteredBlockEvent",
        "FilteredTransaction",
        "Gateway",
        "GatewayError",
        "Identity",
        "InMemoryCheckpointer",
        "Network",
        "PeerError",
        "Position",
        "PrivateDataBlockEvent",
        "Proposal",
        "Signer",
        "SubmitError",
        "SubmittedTransaction",
        "Transaction",
        "connect",
        "endpoint_from_profile",
        "load_identity",
        "load_signer",
        "new_nonce",
        "new_private_key_signer",
        "open_channel",
    }
    for name in cloister.gateway.__all__:
        assert hasattr(cloister.gateway, name)
