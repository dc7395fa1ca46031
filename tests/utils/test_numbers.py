"""Numbers in arguments."""

from __future__ import annotations

import numpy as np
import pytest

from ppeffconv.utils.numbers import as_size, is_number, is_shape, is_size


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(1)])
def test_sizes(value):
    assert is_size(value)


@pytest.mark.parametrize("value", [0, -1, True, 1.0, 1.5, "1", None, np.float32(2), [1]])
def test_others(value):
    assert not is_size(value)


def test_the_least():
    assert is_size(0, minimum=0)
    assert not is_size(3, minimum=4)


def test_a_size_is_an_integer_of_python():
    assert type(as_size(np.int64(3), "stride")) is int
    assert as_size(0, "padding", minimum=0) == 0


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (True, {}, "stride must be a positive integer, got True"),
        (2**31, {}, "stride must be a positive integer, got 2147483648"),
        (4, {"odd": True}, "stride must be an odd positive integer, got 4"),
        (-1, {"minimum": 0}, "stride must be an integer >= 0, got -1"),
        (1, {"minimum": 3, "odd": True}, "stride must be an odd integer >= 3, got 1"),
    ],
)
def test_what_is_no_size(value, options, message):
    with pytest.raises(ValueError, match=message):
        as_size(value, "stride", **options)


def test_numbers():
    assert all(map(is_number, (0, -1.5, np.float32(2), np.int8(1), 10**400)))
    assert not any(map(is_number, (True, None, "1", float("nan"), float("inf"), [1], 1j)))


def test_shapes():
    assert all(is_shape(value, 3, 4) for value in ((3, 8, 8), [1, 3, 8, 8], np.array([3, 8, 8])))
    others = (None, 3, "388", (3, 8), (3, 8.0, 8), (3, 0, 8), (3, True, 8), np.ones((3, 8, 8)), {3: 1, 8: 1, 9: 1})
    assert not any(is_shape(value, 3, 4) for value in others)
