"""Numbers in arguments."""

from __future__ import annotations

import numpy as np
import pytest

from ppeffconv.utils.numbers import is_size


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(1)])
def test_sizes(value):
    assert is_size(value)


@pytest.mark.parametrize("value", [0, -1, True, 1.0, 1.5, "1", None, np.float32(2), [1]])
def test_others(value):
    assert not is_size(value)


def test_the_least():
    assert is_size(0, minimum=0)
    assert not is_size(3, minimum=4)
