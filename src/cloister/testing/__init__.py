"""For tests of contracts and of Cloister itself: docs/testing.md.

`ConfidentialChannel` runs a contract confidentially in this process, `attack` has its host lie, `assert_withstands`
makes every attack on a scenario. The modules below them make identities, transactions and blocks of any kind, on real
test networks too. Nothing here is for production. A test network's private keys lie in its folder, so whatever
colluding members of a channel could do, its orderers included, can be done here.
"""

from .attacks import Adversary, Attack, attack, cease, install
from .confidential import Call, Client, ConfidentialChannel
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
    "Call",
    "install",
]
