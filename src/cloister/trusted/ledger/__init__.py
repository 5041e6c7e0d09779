"""The judge of a Fabric channel: recomputes every verdict that a committing peer gives, and believes no peer.

Pure functions and one state object: bytes in, verdicts out; no clock, no network, no files. Reference: Fabric 2.5.9.
Where a real peer would stop (panic, or halt the channel) the judge refuses the block: `LedgerHalted`.
"""
