"""What counts as a number in an argument."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def is_size(value: Any, minimum: int = 1) -> bool:
    """Whether ``value`` is an integer, Python's or NumPy's, of at least ``minimum``; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= minimum


def as_size(value: Any, name: str, minimum: int = 1, odd: bool = False, note: str = "") -> int:
    """``value`` as an integer of Python's, which is all that kernels and Paddle's layers take.

    Args:
        name: of the argument, in the error.
        odd: whether it must be.
        note: to what is expected, in the error.

    Raises:
        ValueError: it is no integer, even, less than ``minimum`` or more than 32 bits hold.
    """
    if not is_size(value, minimum) or value >= 2**31 or (odd and value % 2 == 0):
        kind = f"an{' odd' if odd else ''} integer >= {minimum}"
        if minimum == 1:
            kind = f"a{'n odd' if odd else ''} positive integer"
        raise ValueError(f"{name} must be {kind}{note}, got {value!r}")
    return int(value)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number, Python's or NumPy's, not infinite; True and False are none."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and bool(abs(value) < float("inf"))


def plain(value: Any) -> Any:
    """``value`` with Python's numbers in place of NumPy's, in tuples and lists too; anything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


def plain_arguments(function: Callable) -> Callable:
    """Decorate a function: numbers of NumPy among its arguments are Python's to it."""

    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return function(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()})

    return decorated


def is_shape(value: Any, *lengths: int) -> bool:
    """Whether ``value`` is a tuple, a list or an array of sizes, of one of these lengths."""
    listed = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim == 1)
    return listed and len(value) in lengths and all(map(is_size, value))
