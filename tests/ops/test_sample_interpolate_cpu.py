"""The CPU kernel of `ops.sample_interpolate` against golden numbers, a loop, plain Paddle and finite differences."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles
from tests.ops.test_sample_interpolate import gaussian, golden_input, naive

compiled = pytest.mark.skipif("sample_interpolate" not in loader.library().ops, reason="kernels not compiled")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}  # of the largest magnitude
EDGES = [(1, 2, 3, width) for width in (7, 8, 15, 16, 17, 31, 33)]  # around one, two and four vectors
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 4), (1, 33, 7, 7), (3, 2, 1, 9), (1, 2, 70, 5), (1, 2, 40, 130), *EDGES]


def make(shape, kind="soft", dtype="float64", seed=0):
    """Features, a mask, and weights that turn the output into a loss."""
    batch, _, height, width = shape
    mask = np.random.default_rng(seed).random((batch, 1, height, width))
    if kind == "hard":
        mask = (mask < 0.35).astype(float)
    elif kind == "rows":  # some rows have nothing to interpolate
        mask[:, :, ::2] = 1
    return [a.astype(dtype) for a in (oracles.random(*shape), mask, oracles.random(*shape, seed=1))]


def results(arrays, sigma, window, backend):
    """Output and the gradients of features, mask and sigma, as arrays."""
    features, mask, weights = arrays
    width = np.asarray([sigma], features.dtype)
    tensors = [oracles.tensor(a, grad=True) for a in (features, mask, width)]
    y = ops.sample_interpolate(*tensors, window, backend=backend)
    (y * paddle.to_tensor(weights)).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def error(got, expected, least=1e-3):
    """Largest difference, relative to the largest magnitude or to ``least``."""
    assert got.shape == expected.shape
    return np.abs(got - expected).max(initial=0) / max(np.abs(expected).max(initial=0), least)


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_golden_values_of_the_reference_code(dtype):
    features, mask = (t.astype(dtype) for t in golden_input())

    def first_rows(sigma):
        return ops.sample_interpolate(features, mask, paddle.to_tensor([sigma]), backend="cpu").numpy()[0, 0]

    np.testing.assert_allclose(first_rows(3.0)[0], [1, 0.999372, 0.002515, 0.030475, 0.000339], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first_rows(3.0)[1], [0.999372, 0.946476, 13.250405, 13.991207, 13.250421], rtol=1e-6)
    np.testing.assert_allclose(first_rows(1.0)[0], [1, 1.38092, 5.906322, 13.008262, 13.989292], rtol=1e-6)


@compiled
@pytest.mark.parametrize("window", [1, 3, 7, 13])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_equals_the_naive_loop(window, kind):
    for shape in SHAPES[:4]:
        features, mask, _ = make(shape, kind)
        tensors = [paddle.to_tensor(a) for a in (features, mask, np.array([1.3]))]
        y = ops.sample_interpolate(*tensors, window, backend="cpu").numpy()
        assert error(y, naive(features, mask, gaussian(1.3, window))) < 1e-6, shape


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", ["soft", "hard", "rows"])
@pytest.mark.parametrize(("sigma", "window"), [(3.0, 7), (1.0, 7), (0.3, 5), (1e-3, 3), (-2.0, 7), (0.5, 19), (2.0, 1)])
def test_values_and_gradients_equal_plain_paddle(sigma, window, kind, dtype):
    for shape in SHAPES:
        arrays = make(shape, kind, dtype)
        exact = results([a.astype("float64") for a in arrays], sigma, window, "reference")
        got = results(arrays, sigma, window, "cpu")
        for name, ours, theirs in zip(("y", "features", "mask", "sigma"), got, exact):
            assert ours.dtype == dtype
            # the gradients of mask and sigma are sums over channels or all positions of terms that cancel
            least, factor = (1.0, 4) if name in ("mask", "sigma") else (1e-3, 1)
            assert error(ours, theirs, least) < factor * TOLERANCE[dtype], (shape, name)


@compiled
def test_gradients_equal_finite_differences():
    features, mask, weights = make((2, 3, 5, 6))
    gradients = results([features, mask, weights], 1.3, 5, "cpu")[1:]
    arrays = [features, mask, np.array([1.3])]
    for i, array in enumerate(arrays):

        def loss(changed, i=i):
            tensors = [paddle.to_tensor(changed if k == i else a) for k, a in enumerate(arrays)]
            return float((ops.sample_interpolate(*tensors, 5, backend="cpu") * paddle.to_tensor(weights)).sum())

        picks, numeric = oracles.numeric_gradient(loss, array, samples=30)
        np.testing.assert_allclose(gradients[i].reshape(-1)[picks], numeric, atol=1e-6)


@compiled
@pytest.mark.parametrize("which", ["features", "mask", "sigma"])
def test_one_changed_number_is_noticed(which):
    features, mask, weights = make((1, 2, 9, 8), "soft", "float32")
    expected = results([features, mask, weights], 1.0, 7, "reference")[0]
    if which == "features":
        features.flat[20] += 0.01
    elif which == "mask":
        mask.flat[20] -= 0.01
    sigma = 1.01 if which == "sigma" else 1.0
    assert error(results([features, mask, weights], sigma, 7, "cpu")[0], expected) > 10 * TOLERANCE["float32"]


@compiled
def test_gradients_do_not_depend_on_the_run():
    arrays = make((2, 5, 150, 40), dtype="float32")
    first = results(arrays, 1.5, 7, "cpu")
    for _ in range(3):
        for a, b in zip(first, results(arrays, 1.5, 7, "cpu")):
            np.testing.assert_array_equal(a, b)


@compiled
def test_full_mask_returns_the_features_bit_for_bit():
    features = paddle.to_tensor(make((2, 3, 7, 10), dtype="float32")[0])
    y = ops.sample_interpolate(features, paddle.ones([2, 1, 7, 10]), paddle.to_tensor([3.0]), backend="cpu")
    np.testing.assert_array_equal(y.numpy(), features.numpy())


@compiled
def test_uncovered_positions_are_zero_and_their_gradients_finite():
    features, weights = np.ones((1, 2, 9, 9), "float32"), np.ones((1, 2, 9, 9), "float32")
    mask = np.zeros((1, 1, 9, 9), "float32")
    mask[0, 0, 0, 0] = 1
    y, *gradients = results([features, mask, weights], 3.0, 7, "cpu")
    assert y[0, :, 0, 0].tolist() == [1, 1]
    assert not y[:, :, 4:].any()
    assert all(np.isfinite(g).all() for g in gradients)


@compiled
def test_non_contiguous_and_empty_tensors():
    features, mask, _ = make((2, 3, 6, 9))
    views = [paddle.to_tensor(a.transpose(0, 1, 3, 2).copy()).transpose([0, 1, 3, 2]) for a in (features, mask)]
    sigma = paddle.to_tensor(1.3)
    y = ops.sample_interpolate(*views, sigma, backend="cpu").numpy()
    assert error(y, naive(features, mask, gaussian(1.3, 7))) < 1e-6
    empty = results(make((0, 3, 5, 4)), 1.0, 7, "cpu")
    assert [a.shape for a in empty] == [(0, 3, 5, 4), (0, 3, 5, 4), (0, 1, 5, 4), (1,)]


@compiled
def test_the_op_itself_refuses_what_python_would_have():
    features, mask, _ = map(paddle.to_tensor, make((1, 2, 4, 4)))
    sigma = paddle.to_tensor([1.0], dtype="float64")
    for arguments in ((features, features, sigma, 7), (features, mask, sigma, 4), (features, mask, mask, 7)):
        with pytest.raises((ValueError, RuntimeError, OSError), match="sample_interpolate: "):
            loader.call("sample_interpolate", *arguments, True)


SIZES = st.lists(st.integers(0, 5), max_size=5)
TYPES = st.sampled_from(["float32", "float64", "float64", "int64", "bool"])


@compiled
@given(
    shapes=st.tuples(SIZES, SIZES, st.sampled_from([[], [1], [2], [0], [1, 1]])),
    window=st.one_of(st.integers(-2, 9), st.sampled_from([2**31 - 1, 2**40 + 1, 3.0, True, None, "3"])),
    types=st.tuples(TYPES, TYPES, TYPES),
    matching=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_call_computes_or_raises_value_error(shapes, window, types, matching):
    if matching and len(shapes[0]) == 4:
        batch, _, height, width = shapes[0]
        shapes, types = (shapes[0], [batch, 1, height, width], [1]), types[:1] * 3
    tensors = [paddle.ones(shape, dtype=dtype) for shape, dtype in zip(shapes, types)]
    refusal = ""
    try:
        y = ops.sample_interpolate(*tensors, window)
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith("sample_interpolate: ") if refusal else np.isfinite(y.numpy()).all()
