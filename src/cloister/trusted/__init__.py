"""Everything that is measured into an enclave, and nothing else.

`attest/` makes and appraises evidence, `chaincode/` runs a contract on sealed state. Besides this folder the measured
set holds what it imports: `wire/`, `fabric/`, the pure half of `contract/`, `errors`; `attest/measurement.py` computes
that closure and `tests/trusted/test_closure.py` guards it.

Rules here: no gRPC, no threads, no subprocess, no logging, no clock, no `assert`, no broad `except` but two: a
contract's own exception becomes a sealed outcome, and a fault of ours at the top level becomes a coarse refusal. One
module opens a socket (`chaincode/serve.py`). Nothing that the host says about lengths, order or flags is believed; when
in doubt: refuse, with a coarse reason.
"""
