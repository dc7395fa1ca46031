"""Malformed calls of every op: `python -m tests.ops.fuzz --cases 5000`, and with `--asan` under AddressSanitizer."""
