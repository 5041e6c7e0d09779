"""For tests of contracts and of Cloister itself: docs/testing.md.

`ConfidentialChannel` runs a contract confidentially in this process, `attack` has its host lie, `assert_withstands`
makes every attack on a scenario. The modules below them make identities, transactions and blocks of any kind, on real
test networks too. Nothing here is for production. A test network's private keys lie in its folder, so whatever
colluding members of a channel could do, its orderers included, can be done here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attacks import Adversary, Attack, attack, cease, install
    from .confidential import Call, Client, ConfidentialChannel
    from .host import Behaviour
    from .withstand import Finding, Report, Verdict, assert_withstands, attack_all

__all__ = [
    "ConfidentialChannel",
    "Client",
    "Attack",
    "attack",
    "cease",
    "assert_withstands",
    "attack_all",
    "Report",
    "Finding",
    "Verdict",
    "Adversary",
    "Behaviour",
    "Call",
    "install",
]


def __getattr__(name: str) -> Any:
    """Imported when they are asked for: whoever needs a small module from here does not wait for enclaves."""
    if name in __all__:
        for home in ("confidential", "attacks", "withstand", "host"):
            found = getattr(import_module(f".{home}", __name__), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
