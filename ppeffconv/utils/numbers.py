"""What counts as a number in an argument."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_size(value: Any, minimum: int = 1) -> bool:
    """Whether ``value`` is an integer, Python's or NumPy's, of at least ``minimum``; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= minimum
