"""Evidence about an enclave, and its appraisal (roles and words of RFC 9334)."""
