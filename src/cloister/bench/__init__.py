"""Measurements: each compares with something real beside it, in one run, interleaved, and tells ratios with spread."""
