"""The service around an organisation's ledger enclave: starts it, feeds it blocks, keeps its sealed checkpoints.

Trust level: none. It can withhold blocks and answers; it cannot change what the enclave says.
"""
