"""Measurements against a peer, side by side in one process: `python -m benchmarks NAME [--json]`."""
