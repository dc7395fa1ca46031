"""What counts as a number in an argument."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_size(value: Any, minimum: int = 1) -> bool:
    """Whether ``value`` is an integer, Python's or NumPy's, of at least ``minimum``; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= minimum


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number, Python's or NumPy's, not infinite; True and False are none."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and bool(np.isfinite(value))


def is_shape(value: Any, *lengths: int) -> bool:
    """Whether ``value`` is a tuple, a list or an array of sizes, of one of these lengths."""
    listed = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim == 1)
    return listed and len(value) in lengths and all(map(is_size, value))
