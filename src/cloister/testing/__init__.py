"""For tests of contracts and of Cloister itself: identities, transactions and blocks of any kind on a test network.

Nothing here is for production. A test network's private keys lie in its folder, so whatever colluding members of a
channel could do, its orderers included, can be done here.
"""
