"""`filter_norm` and the primitives against numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.ops import filter_norm, primitives
from tests import oracles


def test_filter_norm_golden():
    z = filter_norm(paddle.arange(1.0, 10.0, dtype="float64").reshape([1, 9, 1]), axis=1) * (np.sqrt(2) / 3)
    expected = np.array([-0.688530, -0.516398, -0.344265, -0.172133, 0, 0.172133, 0.344265, 0.516398, 0.688530])
    np.testing.assert_allclose(z.numpy().reshape(-1), expected, atol=1e-6)


def test_filter_norm_gradient_equals_finite_differences():
    v, weight = oracles.random(2, 9, 3), oracles.random(2, 9, 3, seed=1)
    t = oracles.tensor(v, grad=True)
    (filter_norm(t, axis=1) * paddle.to_tensor(weight)).sum().backward()
    _, numeric = oracles.numeric_gradient(
        lambda a: float((filter_norm(paddle.to_tensor(a), 1).numpy() * weight).sum()), v
    )
    np.testing.assert_allclose(t.grad.numpy().reshape(-1), numeric, atol=1e-6)


def test_filter_norm_of_equal_taps_is_zero_with_a_finite_gradient():
    t = oracles.tensor(np.full((1, 9, 2), 3.0), grad=True)
    z = filter_norm(t, axis=1)
    z.sum().backward()
    assert (z.numpy() == 0).all()
    assert (t.grad.numpy() == 0).all()


def test_filter_norm_of_half_precision_is_computed_wider():
    v = (oracles.random(1, 9, 4) * 1e-3).astype("float16")
    z = filter_norm(paddle.to_tensor(v), axis=1)
    wide = v.astype("float64")
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, ddof=1, keepdims=True)
    assert z.dtype == paddle.float16
    np.testing.assert_allclose(z.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_primitives_equal_slicing(dtype):
    x = oracles.random(2, 5, 7, 6).astype(dtype)
    t = paddle.to_tensor(x)
    assert (primitives.crop2d(t, 1, 2, 5, 3).numpy() == x[:, :, 1:6, 2:5]).all()
    assert (primitives.channels(t, 1, 3).numpy() == x[:, 1:4]).all()
    if dtype == "float16":
        return
    assert (primitives.subsample2d(t, 3).numpy() == x[:, :, ::3, ::3]).all()
    assert (primitives.pad2d(t, 2).numpy() == np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)])).all()
    np.testing.assert_allclose(primitives.global_mean(t).numpy(), x.mean((2, 3), keepdims=True), atol=1e-6)
    bias = oracles.random(5, seed=1).astype(dtype)
    assert (primitives.add_bias(t, paddle.to_tensor(bias)).numpy() == x + bias.reshape(1, 5, 1, 1)).all()
    assert primitives.add_bias(t, None) is t
