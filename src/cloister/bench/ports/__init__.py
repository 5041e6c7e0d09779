"""The samples as contracts for other chaincode servers, to be compared with."""
