"""What chaincode enclave, ledger enclave and clients have in common: requests, results, statements, their sealing.

Pure. Whoever changes anything here changes the protocol: docs/architecture.md.
"""
