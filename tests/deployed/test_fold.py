"""Tails: what they do one after another, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from ppeffconv.deployed.builder import Map
from ppeffconv.deployed.fold import NOTHING, Tail

SCALE, SHIFT = np.array([2.0, 3.0]), np.array([1.0, -1.0])
ADDED = Map("v1", 2)


def apply(tail: Tail, x: np.ndarray) -> np.ndarray:
    scale, shift = tail.affine(len(x))
    y = x * scale + shift
    return np.maximum(y, 0) if tail.act == "relu" else y


@pytest.mark.parametrize("first", [NOTHING, Tail(SCALE), Tail(shift=SHIFT), Tail(SCALE, SHIFT)])
@pytest.mark.parametrize("then", [NOTHING, Tail(SHIFT), Tail(shift=SCALE), Tail(SHIFT, SCALE, act="relu")])
def test_one_after_the_other(first, then):
    x = np.array([0.5, -4.0])
    np.testing.assert_allclose(apply(first.before(then), x), apply(then, apply(first, x)))


@pytest.mark.parametrize("first", [Tail(SCALE, act="relu"), Tail(act="relu"), Tail(add=ADDED), Tail(SCALE, add=ADDED)])
@pytest.mark.parametrize("then", [NOTHING, Tail(SCALE)])
def test_what_is_not_linear_comes_before_nothing(first, then):
    with pytest.raises(ValueError, match="only a scale and a shift can come before another tail"):
        first.before(then)


def test_split():
    left, right = Tail(SCALE, SHIFT, act="relu").split((1, 1))
    assert (left.scale, right.shift, left.act) == (SCALE[:1], SHIFT[1:], "relu")
    with pytest.raises(ValueError, match="cannot be split"):
        Tail(add=ADDED).split((1, 1))
