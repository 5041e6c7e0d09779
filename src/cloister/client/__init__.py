"""The confidential client: seals requests, verifies evidence and results itself, on top of `gateway/`."""
