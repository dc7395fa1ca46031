"""`ops.octave_*` against loops over pixels, finite differences and plain Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles

compiled = pytest.mark.skipif("octave_pool" not in loader.library().ops, reason="kernels not compiled")
BACKENDS = ["reference", pytest.param("cpu", marks=compiled)]
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}  # of the largest magnitude
# odd and tiny sizes, one row, one column, and widths around one, two and four vectors
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 4), (1, 33, 7, 7), (2, 4, 1, 9), (1, 2, 6, 1), (3, 4, 2, 2)]
SHAPES += [(1, 2, 3, width) for width in (15, 16, 17, 31, 32, 33, 63, 65)]


def half(shape):
    return (*shape[:2], (shape[2] + 1) // 2, (shape[3] + 1) // 2)


def call(op, shape, tensors, backend):
    return (
        ops.octave_upsample(*tensors, shape[2:], backend)
        if op == "octave_upsample"
        else getattr(ops, op)(*tensors, backend=backend)
    )


def make(op, shape, dtype="float64"):
    """The inputs of an op whose full resolution has this shape, and weights that turn its output into a loss."""
    inputs = {"octave_pool": [shape], "octave_upsample": [half(shape)], "octave_upsample_add": [shape, half(shape)]}
    shapes = [*inputs[op], half(shape) if op == "octave_pool" else shape]
    return [oracles.random(*s, seed=seed).astype(dtype) for seed, s in enumerate(shapes)]


def expected(op, shape, arrays):
    if op == "octave_pool":
        return oracles.average_pool2(arrays[0])
    up = oracles.upsample2(arrays[-1], *shape[2:])
    return up + arrays[0] if op == "octave_upsample_add" else up


def results(op, shape, arrays, backend):
    """Output and gradients, as arrays."""
    tensors = [oracles.tensor(a, grad=True) for a in arrays[:-1]]
    y = call(op, shape, tensors, backend)
    (y * paddle.to_tensor(arrays[-1])).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def error(got, exact):
    assert got.shape == exact.shape
    return np.abs(got - exact).max(initial=0) / max(np.abs(exact).max(initial=0), 1e-3)


OPS = ["octave_pool", "octave_upsample", "octave_upsample_add"]


def test_golden():
    x = paddle.arange(1.0, 10.0).reshape([1, 1, 3, 3])
    low = ops.octave_pool(x)
    assert low[0, 0].tolist() == [[3, 4.5], [7.5, 9]]
    assert ops.octave_upsample(low, (3, 3))[0, 0].tolist() == [[3, 3, 4.5], [3, 3, 4.5], [7.5, 7.5, 9]]
    assert ops.octave_upsample(low)[0, 0, 3].tolist() == [7.5, 7.5, 9, 9]
    assert ops.octave_upsample_add(x, low)[0, 0, 2].tolist() == [14.5, 15.5, 18]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_equals_the_loop(op, backend):
    for shape in SHAPES:
        arrays = make(op, shape)
        assert error(results(op, shape, arrays, backend)[0], expected(op, shape, arrays[:-1])) < 1e-14, shape


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("op", OPS)
def test_values_and_gradients_equal_plain_paddle(op, dtype):
    for shape in SHAPES:
        arrays = make(op, shape, dtype)
        exact = results(op, shape, [a.astype("float64") for a in arrays], "reference")
        for got, theirs in zip(results(op, shape, arrays, "cpu"), exact, strict=True):
            assert got.dtype == dtype
            assert error(got, theirs) < TOLERANCE[dtype], shape


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_gradients_equal_finite_differences(op, backend):
    shape = (2, 3, 5, 7)
    arrays = make(op, shape)
    gradients = results(op, shape, arrays, backend)[1:]
    for i, array in enumerate(arrays[:-1]):

        def loss(changed, i=i):
            inputs = [changed if k == i else a for k, a in enumerate(arrays[:-1])]
            return (expected(op, shape, inputs) * arrays[-1]).sum()

        picks, numeric = oracles.numeric_gradient(loss, array, samples=25)
        np.testing.assert_allclose(gradients[i].reshape(-1)[picks], numeric, atol=1e-7)


@compiled
@pytest.mark.parametrize("op", OPS)
def test_one_changed_number_is_noticed(op):
    shape = (2, 3, 9, 33)
    arrays = make(op, shape, "float32")
    exact = results(op, shape, arrays, "reference")
    for array in arrays:  # of the inputs and of the output's gradient
        array.flat[array.size // 2] *= 1.01
    wrong = results(op, shape, arrays, "cpu")
    assert all(error(a, b) > 100 * TOLERANCE["float32"] for a, b in zip(wrong, exact, strict=True))


@compiled
@pytest.mark.parametrize("op", OPS)
def test_results_do_not_depend_on_the_run(op):
    shape = (4, 9, 31, 40)
    arrays = make(op, shape, "float32")
    first = results(op, shape, arrays, "cpu")
    for _ in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(first, results(op, shape, arrays, "cpu"), strict=True))


@compiled
def test_the_gradient_of_high_is_memory_of_its_own():
    """Paddle adds to gradients in place: a shared one would change the others."""
    high = oracles.tensor(oracles.random(1, 2, 4, 4), grad=True)
    low = paddle.zeros([1, 2, 2, 2], "float64")
    doubled = high * 2
    y = ops.octave_upsample_add(doubled, low, backend="cpu")
    y.retain_grads()
    (y.sum() + (doubled * 3).sum()).backward()
    assert (y.grad == 1).all()
    assert (high.grad == 8).all()


@compiled
@pytest.mark.parametrize("op", OPS)
def test_empty_batch(op):
    shape = (0, 3, 5, 4)
    y, *gradients = results(op, shape, make(op, shape), "cpu")
    assert y.shape == (half(shape) if op == "octave_pool" else shape)
    assert [g.shape for g in gradients] == [a.shape for a in make(op, shape)[:-1]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_input(backend):
    x = oracles.random(2, 6, 7, 5)
    turned = paddle.to_tensor(x).transpose([0, 2, 3, 1])
    exact = oracles.average_pool2(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(ops.octave_pool(turned, backend=backend).numpy(), exact)


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("octave_pool", [(2, 3, 4)], "x must be"),
        ("octave_pool", [(2, 3, 0, 4)], "not empty"),
        ("octave_pool", [3], "must be a tensor"),
        ("octave_pool", [(1, 1, 2, 2), "gpu"], "backend must be one of"),
        ("octave_upsample", [(1, 2, 3, 3), (4, 5)], "is not the double of low"),
        ("octave_upsample", [(1, 2, 3, 3), (7, 6)], "is not the double of low"),
        ("octave_upsample", [(1, 2, 3, 3), 6], "size must be two integers"),
        ("octave_upsample", [(1, 2, 3, 3), (6, 6.0)], "size must be two integers"),
        ("octave_upsample", [(1, 2, 3, 3), (6, -6)], "size must be two integers"),
        ("octave_upsample_add", [(1, 2, 5, 5), (1, 2, 2, 2)], r"low must be \[1, 2, 3, 3\]"),
        ("octave_upsample_add", [(1, 2, 5, 5), (1, 1, 3, 3)], "low must be"),
        ("octave_upsample_add", [(1, 2, 5, 5), None], "must be a tensor"),
    ],
)
def test_bad_arguments_are_named(op, arguments, message):
    def is_shape(a, i):
        return isinstance(a, tuple) and (i == 0 or op == "octave_upsample_add")

    values = [paddle.ones(a) if is_shape(a, i) else a for i, a in enumerate(arguments)]
    with pytest.raises(ValueError, match=message):
        getattr(ops, op)(*values)


def test_types_must_be_floating_and_agree():
    with pytest.raises(ValueError, match="floating dtype"):
        ops.octave_pool(paddle.ones([1, 1, 2, 2], "int32"))
    with pytest.raises(ValueError, match="dtypes must agree"):
        ops.octave_upsample_add(paddle.ones([1, 1, 2, 2]), paddle.ones([1, 1, 1, 1], "float64"))


@compiled
def test_the_ops_themselves_refuse_what_python_would_have():
    high, low = paddle.ones([1, 2, 5, 5]), paddle.ones([1, 2, 2, 2])
    for call in (
        lambda: loader.call("octave_pool", high[0]),
        lambda: loader.call("octave_pool", high.astype("int32")),
        lambda: loader.call("octave_upsample", low, 5, 4),
        lambda: loader.call("octave_upsample", low, -4, 4),
        lambda: loader.call("octave_upsample_add", high, low),
        lambda: loader.call("octave_upsample_add", high, paddle.ones([1, 2, 3, 3], "float64")),
    ):
        with pytest.raises((ValueError, RuntimeError, OSError), match="octave_"):
            call()


SIZES = st.lists(st.integers(0, 5), min_size=3, max_size=5)
TYPES = st.sampled_from(["float32", "float64", "float64", "int64"])


@compiled
@given(
    op=st.sampled_from(OPS),
    shapes=st.tuples(SIZES, SIZES),
    size=st.one_of(st.none(), st.tuples(st.integers(-1, 9), st.integers(-1, 9)), st.just(4)),
    types=st.tuples(TYPES, TYPES),
    matching=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_call_computes_or_raises_value_error(op, shapes, size, types, matching):
    if matching and len(shapes[0]) == 4:
        shapes, types = (shapes[0], half(shapes[0])), types[:1] * 2
    tensors = [paddle.ones(shape, dtype=dtype) for shape, dtype in zip(shapes, types)]
    arguments = {"octave_pool": tensors[:1], "octave_upsample": [tensors[0], size], "octave_upsample_add": tensors}
    refusal = ""
    try:
        y = getattr(ops, op)(*arguments[op])
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith(op) if refusal else ((y == 1) | (y == 2)).all()


def test_a_traced_program_keeps_to_paddles_ops(tmp_path):
    class Exchange(paddle.nn.Layer):
        def forward(self, high, low):
            return ops.octave_upsample_add(high, low), ops.octave_upsample(ops.octave_pool(high))

    arrays = [a.astype("float32") for a in make("octave_upsample_add", (2, 3, 6, 8))[:2]]
    specs = [paddle.static.InputSpec([None, *a.shape[1:]], "float32") for a in arrays]
    paddle.jit.save(Exchange(), str(tmp_path / "net"), input_spec=specs)
    assert "ppeffconv" not in (tmp_path / "net.json").read_text()
    tensors = [paddle.to_tensor(a) for a in arrays]
    for got, exact in zip(paddle.jit.load(str(tmp_path / "net"))(*tensors), Exchange()(*tensors), strict=True):
        np.testing.assert_allclose(got.numpy(), exact.numpy(), rtol=1e-6)
