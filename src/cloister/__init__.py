"""Confidential smart contracts ("chaincode") for Hyperledger Fabric, in Python.

Where to look: `contract` (write a contract), `gateway` (call Fabric), `client` (call a confidential contract),
`trusted` (everything that is measured into an enclave), `host` (the untrusted side), `registry`, `network`, `cli`.
"""

__version__ = "0.1.0"
