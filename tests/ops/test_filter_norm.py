"""`ops.filter_norm` against numpy, finite differences and plain Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles

compiled = pytest.mark.skipif("filter_norm" not in loader.library().ops, reason="kernels not compiled")
BACKENDS = ["reference", pytest.param("cpu", marks=compiled)]
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}  # of the largest magnitude
# logits, axis, scale: pixels and channels around one and two vectors, few and many taps, one filter
CASES = [
    ((2, 9, 5, 7), 1, 0.5),
    ((2, 2, 9, 6), 2, 1.5),
    ((1, 4, 1, 1), 1, None),
    ((2, 49, 1, 3), 1, -2),
    ((3, 3), 1, 2),
]
CASES += [((2, 9, 1, pixels), 1, 0.5) for pixels in (7, 8, 15, 16, 17, 33)]
CASES += [((3, channels, 9), 2, "tensor") for channels in (1, 7, 16, 17, 33)]
CASES += [((5, 4, 25), -1, "tensor"), ((4, 33, 9), 2, 3.0), ((2, 5, 3), 2, "tensor")]


def make(shape, scale, dtype="float64"):
    """The tensors of a call and weights that turn its output into a loss."""
    arrays = [oracles.random(*shape)]
    if scale == "tensor":
        arrays.append(oracles.random(*shape[1:], seed=1))
    return [a.astype(dtype) for a in (*arrays, oracles.random(*shape, seed=2))]


def results(arrays, axis, scale, backend):
    """Output and gradients, as arrays."""
    tensors = [oracles.tensor(a, grad=True) for a in arrays[:-1]]
    y = ops.filter_norm(tensors[0], axis, tensors[1] if scale == "tensor" else scale, backend=backend)
    (y * paddle.to_tensor(arrays[-1])).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def naive(arrays, axis, scale):
    v = arrays[0]
    normal = (v - v.mean(axis, keepdims=True)) / (v.std(axis, ddof=1, keepdims=True) + 1e-10)
    return normal * (arrays[1] if scale == "tensor" else 1 if scale is None else scale)


def error(got, exact):
    assert got.shape == exact.shape
    return np.abs(got - exact).max(initial=0) / max(np.abs(exact).max(initial=0), 1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden(backend):
    logits = paddle.to_tensor([[1.0, 2, 3, 4, 10]])
    expected = np.array([-3, -2, -1, 0, 6]) / np.sqrt(12.5) * 2
    np.testing.assert_allclose(ops.filter_norm(logits, 1, 2.0, backend=backend)[0].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_definition(case, backend):
    shape, axis, scale = case
    arrays = make(shape, scale)
    assert error(results(arrays, axis, scale, backend)[0], naive(arrays, axis, scale)) < 1e-13


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_plain_paddle(case, dtype):
    shape, axis, scale = case
    arrays = make(shape, scale, dtype)
    exact = results([a.astype("float64") for a in arrays], axis, scale, "reference")
    for got, theirs in zip(results(arrays, axis, scale, "cpu"), exact, strict=True):
        assert got.dtype == dtype
        assert error(got, theirs) < TOLERANCE[dtype]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", [CASES[0], CASES[-3]], ids=str)
def test_gradients_equal_finite_differences(case, backend):
    shape, axis, scale = case
    arrays = make(shape, scale)
    gradients = results(arrays, axis, scale, backend)[1:]
    for i, array in enumerate(arrays[:-1]):

        def loss(changed, i=i):
            changed = [changed if k == i else a for k, a in enumerate(arrays)]
            return (naive(changed, axis, scale) * arrays[-1]).sum()

        picks, numeric = oracles.numeric_gradient(loss, array, samples=25)
        np.testing.assert_allclose(gradients[i].reshape(-1)[picks], numeric, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [1, 2])
def test_equal_taps_give_zeros_and_zero_gradients(axis, backend):
    logits = oracles.random(4, 9, 9)
    logits[1] = 0
    y, gradient, _ = (*results([logits, np.ones_like(logits)], axis, 0.5, backend), None)
    assert not y[1].any()
    assert not gradient[1].any()
    assert np.isfinite(y).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("value", [0.1, 0.7])
def test_equal_taps_are_recognised_whatever_their_value(value, axis, backend):
    logits = np.full((2, 9, 9), value, "float32")  # of which a rounded mean may differ
    for array in results([logits, oracles.random(2, 9, 9).astype("float32")], axis, 0.5, backend):
        assert not array.any()


@compiled
def test_one_changed_number_is_noticed():
    arrays = make((2, 33, 9), "tensor", "float32")
    exact = results(arrays, 2, "tensor", "reference")
    for array in arrays:
        array.flat[array.size // 2] *= 1.01
    wrong = results(arrays, 2, "tensor", "cpu")
    assert all(error(a, b) > 10 * TOLERANCE["float32"] for a, b in zip(wrong, exact, strict=True))


@compiled
@pytest.mark.parametrize(("shape", "axis", "scale"), [((4, 9, 40, 31), 1, 0.5), ((64, 100, 9), 2, "tensor")])
def test_results_do_not_depend_on_the_run(shape, axis, scale):
    arrays = make(shape, scale, "float32")
    first = results(arrays, axis, scale, "cpu")
    for _ in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(first, results(arrays, axis, scale, "cpu"), strict=True))


@compiled
@pytest.mark.parametrize(("shape", "axis", "scale"), [((0, 9, 2, 2), 1, 0.5), ((0, 3, 9), 2, "tensor")])
def test_empty_batch(shape, axis, scale):
    arrays = make(shape, scale)
    y, *gradients = results(arrays, axis, scale, "cpu")
    assert y.shape == shape
    assert [g.shape for g in gradients] == [a.shape for a in arrays[:-1]]
    assert not any(g.any() for g in gradients)


@compiled
def test_non_contiguous_input():
    x = oracles.random(2, 4, 5, 9)
    turned = paddle.to_tensor(x).transpose([0, 3, 1, 2])
    exact = naive([x.transpose(0, 3, 1, 2)], 1, None)
    assert error(ops.filter_norm(turned, 1, backend="cpu").numpy(), exact) < 1e-13


def test_half_precision_is_plain_paddles():
    logits = oracles.random(2, 9, 4)
    y = ops.filter_norm(paddle.to_tensor(logits).astype("bfloat16"), 1, 0.5)
    assert y.dtype == paddle.bfloat16
    assert error(y.astype("float64").numpy(), naive([logits], 1, 0.5)) < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": 3}, "logits must be a tensor of a floating dtype"),
        ({"logits": paddle.ones([2, 3, 9], "int32")}, "logits must be a tensor of a floating dtype"),
        ({"logits": paddle.ones([2, 3, 0])}, "needs taps"),
        ({"axis": 3}, "axis must be one of"),
        ({"axis": -4}, "axis must be one of"),
        ({"axis": 1.0}, "axis must be one of"),
        ({"scale": "2"}, "scale must be a tensor"),
        ({"scale": float("nan")}, "scale must be a tensor"),
        ({"scale": paddle.ones([3, 8])}, "a tensor scale must be"),
        ({"scale": paddle.ones([3, 9]), "axis": 1}, "a tensor scale must be"),
        ({"scale": paddle.ones([3, 9], "float64")}, "dtypes must agree"),
        ({"scale": 1e39}, "scale must be a number of paddle.float32"),
        ({"eps": -1}, "eps must be"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ops.filter_norm(**{"logits": paddle.ones([2, 3, 9]), "axis": 2, **change})


@compiled
def test_the_ops_themselves_refuse_what_python_would_have():
    logits = paddle.ones([2, 3, 9])
    for name, *arguments in (
        ("filter_norm", logits, 3, 1.0, 0.0),
        ("filter_norm", logits, -1, 1.0, 0.0),
        ("filter_norm", logits.astype("int32"), 2, 1.0, 0.0),
        ("filter_norm_scaled", logits, paddle.ones([3, 8]), 0.0),
        ("filter_norm_scaled", logits[0], paddle.ones([9]), 0.0),
        ("filter_norm_scaled", logits, paddle.ones([3, 9], "float64"), 0.0),
    ):
        with pytest.raises((ValueError, RuntimeError, OSError), match="filter_norm: "):
            loader.call(name, *arguments)


TYPES = st.sampled_from(["float32", "float64", "int64"])


@compiled
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    axis=st.one_of(st.integers(-5, 5), st.sampled_from([None, 1.0, True])),
    scale=st.one_of(st.none(), st.floats(), st.lists(st.integers(0, 5), max_size=3), st.just("tensor")),
    types=st.tuples(TYPES, TYPES),
)
@settings(max_examples=200, deadline=None)
def test_any_call_computes_or_raises_value_error(shape, axis, scale, types):
    if scale == "tensor":
        scale, types, axis = shape[1:], types[:1] * 2, 2
    if isinstance(scale, list):
        scale = paddle.ones(scale, types[1])
    refusal = ""
    try:
        y = ops.filter_norm(paddle.ones(shape, types[0]), axis, scale)
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith("filter_norm: ") if refusal else not y.numpy().any()


def test_a_traced_program_keeps_to_paddles_ops(tmp_path):
    class Norm(paddle.nn.Layer):
        def forward(self, x):
            return ops.filter_norm(x, 1, 0.5)

    x = oracles.random(2, 9, 3, 4).astype("float32")
    spec = [paddle.static.InputSpec([None, 9, None, None], "float32")]
    paddle.jit.save(Norm(), str(tmp_path / "norm"), input_spec=spec)
    assert "ppeffconv" not in (tmp_path / "norm.json").read_text()
    y = paddle.jit.load(str(tmp_path / "norm"))(paddle.to_tensor(x)).numpy()
    assert error(y, naive([x], 1, 0.5)) < 1e-5
