"""Whole examples on a network started for them, with a look at what a peer's administrator can see."""
