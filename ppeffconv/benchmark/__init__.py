"""Measuring against PyTorch and stock Paddle: `python tools/benchmark.py train|ops|report`."""
