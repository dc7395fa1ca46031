"""bfloat16 in NumPy, which does not have it: the upper half of a float32."""

from __future__ import annotations

import numpy as np


def from_bits(bits: np.ndarray) -> np.ndarray:
    """Return the float32 values of bfloat16 numbers that are given as uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
