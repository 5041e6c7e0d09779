"""A plain chaincode of ours beside the third parties' programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.deploy.deploy import Plan, deploy
from cloister.network import Network

CONTRACT = Path(__file__).parents[1] / "support" / "gateway_contract.py"


@pytest.fixture(scope="module")
async def plain_chaincode(any_network: Network) -> str:
    """Its name. A new sequence of it, if it is there already."""
    await deploy(any_network, Plan("third-party", str(CONTRACT), confidential=False))
    return "third-party"
