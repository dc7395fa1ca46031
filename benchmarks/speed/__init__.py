"""Times beside other engines, their tables and figures: `python tools/benchmark.py ops|train|deploy|report`."""
