"""Cells of tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev


def spread(values: Sequence[float], digits: int, seeds: str = "seeds") -> str:
    """Such as "91.20", or of several "91.20 ± 0.11 (3 seeds)", the mean and the standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f} ({len(values)} {seeds})"
