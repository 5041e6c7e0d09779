"""Sample contracts, each runnable as confidential and as plain chaincode, without a change."""
