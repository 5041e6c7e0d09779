"""For tests of contracts and of Cloister itself: docs/testing.md.

`ConfidentialChannel` runs a contract confidentially in this process. The modules below it make identities, transactions
and blocks of any kind, on real test networks too. Nothing here is for production. A test network's private keys lie in
its folder, so whatever colluding members of a channel could do, its orderers included, can be done here.
"""

from .confidential import Call, Client, ConfidentialChannel

__all__ = ["Call", "Client", "ConfidentialChannel"]
