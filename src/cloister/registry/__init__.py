"""The enclave registry: ordinary chaincode, a bulletin board on the channel. Everybody appraises again."""
