"""Deploying chaincode, plain or confidential, on a network that `cloister network up` started."""
