"""Fabric's own language: identities, proposals, transactions, blocks. Pure: no files, sockets, clocks or gRPC."""
