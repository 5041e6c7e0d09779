"""A pytest plugin for authors of confidential contracts.

    pytest_plugins = ["cloister.testing.plugin"]        # in conftest.py

    async def test_the_highest_bid_wins(confidential_channel):
        channel = confidential_channel(Auction)
        ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
        ...

Coroutine tests need a plugin that runs them, such as pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .confidential import ConfidentialChannel


@pytest.fixture
def confidential_channel() -> Callable[..., ConfidentialChannel]:
    """Makes channels in this process: `confidential_channel(MyContract)`; arguments as of `ConfidentialChannel`."""
    return ConfidentialChannel
