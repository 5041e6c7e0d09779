"""The chaincode enclave: runs one contract on sealed state. Data flows admission → request → execution → statement."""
