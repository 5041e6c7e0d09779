"""A whole small Fabric channel in one Python process: for development and tests, not for production.

Orderer, one peer per organisation, Gateway, Deliver, chaincode as a service, on Fabric's own gRPC services and with
Fabric's own blocks. Its committer is the judge of `cloister.trusted.ledger`. See docs/embedded.md.
"""
