"""What crosses between the parts of Cloister: one canonical encoding, messages of host and enclave. Pure."""
