"""The CPU kernel of `ops.ddf` against golden numbers, a loop, the plain-Paddle form and finite differences."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles
from tests.ops.test_ddf import GOLDEN, NINE

compiled = pytest.mark.skipif("ddf" not in loader.library().ops, reason="kernels not compiled")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # of the largest magnitude
CASES = [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (3, 3, 2), (3, 1, 8), (5, 1, 2), (5, 2, 8), (7, 1, 1), (7, 3, 3)]
EDGES = [(1, 2, 3, width) for width in (7, 8, 15, 16, 17, 31, 33)]  # around one, two and four vectors
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 4), (1, 33, 7, 7), (3, 4, 3, 9), (1, 6, 70, 5), *EDGES]


def make(shape, kernel_size, stride, dtype="float64"):
    """x, channel filter and spatial filter, and weights that turn the output into a loss."""
    batch, channels, height, width = shape
    taps, out = kernel_size**2, ((height - 1) // stride + 1, (width - 1) // stride + 1)
    sizes = [shape, (batch, channels, taps), (batch, taps, *out), (batch, channels, *out)]
    return [oracles.random(*size, seed=seed).astype(dtype) for seed, size in enumerate(sizes)]


def results(arrays, arguments, backend):
    """Output and the three gradients, as arrays."""
    tensors = [oracles.tensor(a, grad=True) for a in arrays[:3]]
    y = ops.ddf(*tensors, *arguments, backend=backend)
    (y * paddle.to_tensor(arrays[3])).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def error(got, expected):
    """Largest difference, relative to the largest magnitude."""
    assert got.shape == expected.shape
    return np.abs(got - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-3)


@compiled
@pytest.mark.parametrize(("f", "arguments", "expected"), GOLDEN)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_golden(f, arguments, expected, dtype):
    y = ops.ddf(*(paddle.to_tensor(a.astype(dtype)) for a in (NINE, NINE, f)), **arguments, backend="cpu")
    assert str(y.dtype) == f"paddle.{dtype}"
    np.testing.assert_allclose(y.numpy()[0, 0], expected, rtol=TOLERANCE[dtype])


@compiled
@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_loop(case, mode):
    for shape in SHAPES[:4]:
        x, c, f, _ = make(shape, *case[:2])
        y = ops.ddf(*map(paddle.to_tensor, (x, c, f)), *case, mode, backend="cpu").numpy()
        assert error(y, oracles.ddf(x, c, f, *case, mode)) < 1e-12, shape


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_plain_paddle(case, mode, dtype):
    for shape in SHAPES:
        arrays = make(shape, *case[:2], dtype)
        exact = results([a.astype("float64") for a in arrays], (*case, mode), "reference")
        for name, got, expected in zip("yxcf", results(arrays, (*case, mode), "cpu"), exact):
            assert got.dtype == dtype
            assert error(got, expected) < TOLERANCE[dtype], (shape, name)


@compiled
@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize("case", [(3, 1, 1), (3, 2, 2), (5, 3, 1)], ids=str)
def test_gradients_equal_finite_differences(case, mode):
    arrays = make((2, 5, 5, 4), *case[:2])
    gradients = results(arrays, (*case, mode), "cpu")[1:]
    for i, array in enumerate(arrays[:3]):

        def loss(changed, i=i):
            y = ops.ddf(*(paddle.to_tensor(changed if k == i else a) for k, a in enumerate(arrays[:3])), *case, mode)
            return float((y * paddle.to_tensor(arrays[3])).sum())

        picks, numeric = oracles.numeric_gradient(loss, array, samples=25)
        np.testing.assert_allclose(gradients[i].reshape(-1)[picks], numeric, atol=1e-6)


@compiled
@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_changed_number_is_noticed(which):
    arrays = make((2, 3, 9, 8), 3, 1, "float32")
    expected = results(arrays, (3, 1, 1, "mul"), "reference")[0]
    arrays[which].flat[arrays[which].size // 3 + 1] += 0.01  # not under a tap that hangs over the edge
    assert error(results(arrays, (3, 1, 1, "mul"), "cpu")[0], expected) > TOLERANCE["float32"]


@compiled
def test_a_flipped_filter_is_noticed():
    x, c, f, weights = make((1, 2, 9, 20), 3, 1, "float32")
    expected = results([x, c, f, weights], (3, 1, 1, "mul"), "reference")
    wrong = results([x, c[..., ::-1].copy(), f, weights], (3, 1, 1, "mul"), "cpu")
    assert all(error(wrong[i], expected[i]) > 0.01 for i in (0, 1, 3))  # y, dx, df; dc does not depend on c


@compiled
def test_gradients_do_not_depend_on_the_run():
    arrays = make((2, 9, 130, 40), 3, 1, "float32")
    first = results(arrays, (3, 1, 1, "mul"), "cpu")
    for _ in range(3):
        for a, b in zip(first, results(arrays, (3, 1, 1, "mul"), "cpu")):
            np.testing.assert_array_equal(a, b)


@compiled
def test_non_contiguous_tensors():
    x, c, f, _ = make((2, 3, 6, 9), 3, 1)
    views = [paddle.to_tensor(x.transpose(0, 1, 3, 2).copy()).transpose([0, 1, 3, 2])]
    views += [paddle.to_tensor(np.repeat(a, 2, axis=1))[:, ::2] for a in (c, f)]
    assert error(ops.ddf(*views, backend="cpu").numpy(), oracles.ddf(x, c, f, 3, 1, 1, "mul")) < 1e-12


@compiled
def test_empty_batch():
    y, *gradients = results(make((0, 3, 5, 4), 3, 2), (3, 2, 1, "mul"), "cpu")
    assert y.shape == (0, 3, 3, 2)
    assert [g.shape for g in gradients] == [(0, 3, 5, 4), (0, 3, 9), (0, 9, 3, 2)]


@compiled
def test_stride_and_dilation_beyond_the_image():
    arrays = make((1, 2, 5, 6), 3, 2**31 - 1)
    got = results(arrays, (3, 2**31 - 1, 2**31 - 1, "mul"), "cpu")
    for a, b in zip(got, results(arrays, (3, 6, 6, "mul"), "reference")):
        assert error(a, b) < 1e-12


@compiled
@pytest.mark.parametrize("argument", [("mul", 2, 1, 1), ("mul", 3, 0, 1), ("mul", 3, 1, -1), ("max", 3, 1, 1)])
def test_the_op_itself_refuses_what_python_would_have(argument):
    mode, *sizes = argument
    tensors = [paddle.to_tensor(a) for a in make((1, 2, 4, 4), 3, 1)[:3]]
    with pytest.raises((ValueError, RuntimeError, OSError), match="ddf: "):
        loader.call("ddf", *tensors, *sizes, mode)
    with pytest.raises((ValueError, RuntimeError, OSError), match="ddf: "):
        loader.call("ddf", tensors[0], tensors[2], tensors[1], 3, 1, 1, "mul")


SIZES = st.integers(0, 5)
NUMBERS = st.one_of(st.integers(-2, 9), st.sampled_from([2**31, 2**40, 1.0, True, None, "3"]))
TYPES = st.sampled_from(["float32", "float64", "float64", "int64", "bool"])


@compiled
@given(
    shapes=st.tuples(*(st.lists(SIZES, min_size=low, max_size=high) for low, high in ((0, 5), (1, 4), (2, 4)))),
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    mode=st.sampled_from(["mul", "add", "max", None, 1]),
    types=st.tuples(TYPES, TYPES, TYPES),
    matching=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_call_computes_or_raises_value_error(shapes, numbers, mode, types, matching):
    if matching and len(shapes[0]) == 4 and all(type(n) is int and 0 < n < 10 for n in numbers):
        (batch, channels, height, width), (k, stride, _) = shapes[0], numbers
        filters = [batch, k * k, max(height - 1, 0) // stride + 1, max(width - 1, 0) // stride + 1]
        shapes, types = (shapes[0], [batch, channels, k * k], filters), types[:1] * 3
    tensors = [paddle.ones(shape, dtype=dtype) for shape, dtype in zip(shapes, types)]
    refusal = ""
    try:
        y = ops.ddf(*tensors, *numbers, mode)
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith("ddf: ") if refusal else np.isfinite(y.numpy()).all()


def test_a_traced_program_keeps_to_paddles_ops(tmp_path):
    class Filter(paddle.nn.Layer):
        def forward(self, x, c, f):
            return ops.ddf(x, c, f)

    arrays = [a.astype("float32") for a in make((2, 3, 6, 7), 3, 1)[:3]]
    specs = [paddle.static.InputSpec([None, *a.shape[1:]], "float32") for a in arrays]
    paddle.jit.save(Filter(), str(tmp_path / "filter"), input_spec=specs)
    y = paddle.jit.load(str(tmp_path / "filter"))(*map(paddle.to_tensor, arrays)).numpy()
    assert error(y, ops.ddf(*map(paddle.to_tensor, arrays)).numpy()) < 1e-5
