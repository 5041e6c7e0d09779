"""The host: the untrusted side of an organisation. It speaks to the peer, starts the enclave, keeps its sealed file."""
