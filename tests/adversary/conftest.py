"""All switches at once, on one scenario: the tests look at what came of each."""

from __future__ import annotations

import pytest

from cloister.testing import ConfidentialChannel, Report, attack_all

from .scenes import SECRETS, Board, everything


@pytest.fixture(scope="session")
async def report() -> Report:
    """What came of every attack."""
    return await attack_all(Board, everything, secrets=SECRETS)


@pytest.fixture
def channel() -> ConfidentialChannel:
    """One channel of one's own, whose clients do not try again."""
    return ConfidentialChannel(Board, patience_s=0.0)
