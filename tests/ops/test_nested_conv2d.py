"""`ops.nested_conv2d` against a loop over output pixels with masked kernels, finite differences and plain Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles

compiled = pytest.mark.skipif("nested_conv2d" not in loader.library().ops, reason="kernels not compiled")
BACKENDS = ["reference", pytest.param("cpu", marks=compiled)]
TOLERANCE = 2e-5  # of the largest magnitude: rounding in float32 grows with the terms of the sums
# (N, C, H, W), (F, kh, kw), arguments: odd, tiny and narrow images, kernels of one to four crops, even and oblong ones,
# padding that leaves the inner crops some (or less than none), and images large enough for the product of 1x1 crops
CASES = [
    ((1, 1, 1, 1), (1, 3, 3), {"padding": 1}),
    ((2, 3, 7, 5), (4, 3, 3), {"padding": 1}),
    ((1, 33, 9, 7), (17, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 4, 12, 11), (3, 5, 5), {"padding": 2}),
    ((1, 5, 16, 17), (16, 7, 7), {"padding": 3, "stride": (2, 3)}),
    ((2, 3, 9, 9), (2, 7, 7), {}),
    ((1, 3, 8, 9), (4, 5, 5), {"padding": 1}),
    ((1, 3, 9, 8), (4, 3, 3), {"padding": 3}),
    ((2, 3, 6, 7), (5, 4, 4), {"padding": 1}),
    ((1, 4, 11, 12), (6, 3, 5), {"padding": (1, 0)}),
    ((2, 2, 8, 7), (3, 1, 1), {"stride": 2}),
    ((1, 4, 23, 19), (4, 3, 3), {"padding": 8, "dilation": 8}),
    ((1, 3, 14, 15), (4, 5, 5), {"padding": 1, "dilation": 2, "stride": 3}),
    ((2, 6, 8, 7), (9, 3, 3), {"padding": 1, "groups": 3}),
    ((1, 8, 9, 9), (4, 5, 5), {"padding": 2, "groups": 2, "stride": 2}),
    ((3, 5, 17, 19), (7, 3, 3), {"padding": 1}),
    ((1, 16, 20, 21), (16, 5, 5), {"padding": 2}),
    ((2, 3, 18, 18), (2, 3, 3), {"padding": 2, "dilation": 2}),
]


def make(case, dtype="float64"):
    """x, weight and weights that turn the output into a loss."""
    x, (filters, kh, kw), arguments = case
    arrays = [oracles.random(*x), oracles.random(filters, x[1] // arguments.get("groups", 1), kh, kw, seed=1)]
    out = ops.nested_conv2d(*map(paddle.to_tensor, arrays), **arguments, backend="reference").shape
    return [a.astype(dtype) for a in (*arrays, oracles.random(*out, seed=2))]


def naive(x, weight, **arguments):
    """Every crop as a kernel of full size with zeros around its centre."""
    outputs = []
    for crop in range((min(weight.shape[2:]) + 1) // 2):
        inner = np.zeros_like(weight)
        rows, columns = (slice(crop, size - crop) for size in weight.shape[2:])
        inner[:, :, rows, columns] = weight[:, :, rows, columns]
        outputs.append(oracles.conv2d(x, inner, **arguments))
    return np.concatenate(outputs, axis=1)


def results(arrays, arguments, backend):
    """Output and gradients, as arrays."""
    tensors = [oracles.tensor(a, grad=True) for a in arrays[:2]]
    y = ops.nested_conv2d(*tensors, **arguments, backend=backend)
    (y * paddle.to_tensor(arrays[2])).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def error(got, exact):
    assert got.shape == exact.shape
    return np.abs(got - exact).max(initial=0) / max(np.abs(exact).max(initial=0), 1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden(backend):
    x = paddle.ones([1, 1, 3, 3])
    weight = paddle.arange(1.0, 10.0).reshape([1, 1, 3, 3])
    y = ops.nested_conv2d(x, weight, padding=1, backend=backend)
    assert y.shape == [1, 2, 3, 3]
    assert y[0, 0, 1].tolist() == [33, 45, 27]  # rows of the kernel: 2 + 3 + 5 + 6 + 8 + 9, all, 1 + 2 + 4 + 5 + 7 + 8
    assert (y[0, 1] == 5).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_loop(case, backend):
    x, weight, _ = make(case, "float32")
    y = ops.nested_conv2d(*map(paddle.to_tensor, (x, weight)), **case[2], backend=backend).numpy()
    assert error(y, naive(x.astype("float64"), weight.astype("float64"), **case[2])) < TOLERANCE


@compiled
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_plain_paddles_in_float64(case):
    arrays = make(case, "float32")
    exact = results([a.astype("float64") for a in arrays], case[2], "reference")
    for got, theirs in zip(results(arrays, case[2], "cpu"), exact, strict=True):
        assert got.dtype == "float32"
        assert error(got, theirs) < TOLERANCE


@pytest.mark.parametrize("case", [CASES[3], CASES[6]], ids=str)
def test_gradients_of_the_reference_equal_finite_differences(case):
    arrays = make(case)
    gradients = results(arrays, case[2], "reference")[1:]
    for i in range(2):

        def loss(changed, i=i):
            return (naive(*(changed if k == i else arrays[k] for k in range(2)), **case[2]) * arrays[2]).sum()

        picks, numeric = oracles.numeric_gradient(loss, arrays[i], samples=10)
        np.testing.assert_allclose(gradients[i].reshape(-1)[picks], numeric, atol=1e-6)


@compiled
@pytest.mark.parametrize("case", [CASES[1], CASES[15]], ids=str)
def test_a_kernel_that_is_one_per_cent_off_is_noticed(case):
    arrays = make(case, "float32")
    exact = results(arrays, case[2], "reference")
    arrays[1][:, :, 1, 1] *= 1.01  # the tap that every crop has
    wrong = results(arrays, case[2], "cpu")
    assert all(error(a, b) > 20 * TOLERANCE for a, b in zip(wrong[:2], exact[:2], strict=True))
    filters = arrays[1].shape[0]
    assert error(wrong[0][:, filters:], exact[0][:, filters:]) > 20 * TOLERANCE


@compiled
@pytest.mark.parametrize("case", [CASES[3], CASES[15]], ids=str)
@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_tensor_gets_no_gradient_and_the_other_keeps_its(frozen, case):
    arrays = make(case, "float32")
    tensors = [oracles.tensor(a, grad=i != frozen) for i, a in enumerate(arrays[:2])]
    (ops.nested_conv2d(*tensors, **case[2], backend="cpu") * paddle.to_tensor(arrays[2])).sum().backward()
    assert tensors[frozen].grad is None
    kept = results(arrays, case[2], "cpu")[2 - frozen]
    np.testing.assert_allclose(tensors[1 - frozen].grad.numpy(), kept, rtol=1e-5, atol=1e-4)


@compiled
@pytest.mark.parametrize("size", [11, 33])
def test_results_do_not_depend_on_the_run(size):
    case = ((5, 17, size, size), (16, 5, 5), {"padding": 2})
    arrays = make(case, "float32")
    first = results(arrays, case[2], "cpu")
    for _ in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(first, results(arrays, case[2], "cpu"), strict=True))


@compiled
def test_empty_batch():
    arrays = [oracles.random(*s).astype("float32") for s in ((0, 3, 6, 5), (4, 3, 3, 3), (0, 8, 3, 3))]
    y, dx, dw = results(arrays, {"stride": 2, "padding": 1}, "cpu")
    assert y.shape == (0, 8, 3, 3)
    assert dx.shape == (0, 3, 6, 5)
    assert not dw.any()


@compiled
def test_non_contiguous_input():
    x, weight = oracles.random(2, 5, 7, 3).astype("float32"), oracles.random(4, 3, 3, 3, seed=1).astype("float32")
    turned, flipped = (paddle.to_tensor(a).transpose([0, 3, 1, 2]) for a in (x, weight.transpose(0, 2, 3, 1).copy()))
    y = ops.nested_conv2d(turned, flipped, padding=1, backend="cpu").numpy()
    assert error(y, naive(x.transpose(0, 3, 1, 2).astype("float64"), weight.astype("float64"), padding=1)) < TOLERANCE


@compiled
def test_float64_is_plain_paddles():
    x, weight, _ = (paddle.to_tensor(a) for a in make(CASES[3]))
    y = ops.nested_conv2d(x, weight, **CASES[3][2])
    assert error(y.numpy(), naive(x.numpy(), weight.numpy(), **CASES[3][2])) < 1e-13
    with pytest.raises(RuntimeError, match="does not take paddle.float64"):
        ops.nested_conv2d(x, weight, **CASES[3][2], backend="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": oracles.random(2, 3, 4)}, "x must be a tensor of 4 dimensions, got shape"),
        ({"x": 3}, "x must be a tensor of 4 dimensions, got int"),
        ({"x": oracles.random(2, 4, 6, 6)}, "does not fit x"),
        ({"weight": oracles.random(4, 3, 3)}, "weight must be a tensor"),
        ({"weight": oracles.random(4, 3, 9, 3)}, "larger than x"),
        ({"weight": oracles.random(4, 3, 0, 3)}, "empty or larger"),
        ({"weight": oracles.random(4, 3, 3, 3).astype("float32")}, "share one floating type"),
        ({"stride": -1}, "stride must be"),
        ({"padding": "SAME"}, "padding must be"),
        ({"dilation": 0}, "dilation must be"),
        ({"groups": 2}, "does not fit x"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"x": oracles.random(2, 3, 6, 6), "weight": oracles.random(4, 3, 3, 3), **change}
    arguments = {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match=message):
        ops.nested_conv2d(**arguments)


@compiled
def test_the_op_itself_refuses_what_python_would_have():
    x, weight = paddle.ones([1, 4, 5, 5]), paddle.ones([2, 4, 3, 3])
    good = [[1, 1], [1, 1], [1, 1], 1, True, True]
    for tensors, position, value in (
        ((x[0], weight), 0, [1, 1]),
        ((x.astype("float64"), weight), 0, [1, 1]),
        ((x, weight[:, :3]), 0, [1, 1]),
        ((x, weight), 0, [0, 1]),
        ((x, weight), 1, [-1, 1]),
        ((x, weight), 1, [1]),
        ((x, weight), 2, [9, 9]),
        ((x, weight), 3, 2),
    ):
        arguments = [value if i == position else a for i, a in enumerate(good)]
        with pytest.raises((ValueError, RuntimeError, OSError), match="nested_conv2d: "):
            loader.call("nested_conv2d", *tensors, *arguments)


sizes = st.integers(0, 6)
numbers = st.one_of(st.integers(-1, 4), st.tuples(sizes, sizes), st.sampled_from([None, "x", 1.5, 2**33]))


@settings(max_examples=200, deadline=None)
@given(
    x=st.lists(sizes, min_size=3, max_size=5),
    weight=st.lists(sizes, min_size=3, max_size=5),
    stride=numbers,
    padding=numbers,
    dilation=numbers,
    groups=st.one_of(st.integers(-1, 3), st.none()),
    types=st.tuples(*[st.sampled_from(["float32", "float32", "float32", "float64", "int32"])] * 2),
    matching=st.booleans(),
)
def test_any_call_computes_or_raises_value_error(x, weight, stride, padding, dilation, groups, types, matching):
    if matching and len(x) == len(weight) == 4 and isinstance(groups, int):
        x[1] = weight[1] * max(groups, 0)
    x, weight = (paddle.ones(shape, dtype) for shape, dtype in zip((x, weight), types))
    try:
        y = ops.nested_conv2d(x, weight, stride, padding, dilation, groups)
    except ValueError:
        return
    assert y.shape[:2] == [x.shape[0], weight.shape[0] * ((min(weight.shape[2:]) + 1) // 2)]


def test_a_traced_program_keeps_to_paddles_ops(tmp_path):
    class Nested(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.weight = self.create_parameter([4, 3, 5, 5])

        def forward(self, x):
            return ops.nested_conv2d(x, self.weight, padding=2)

    net, x = Nested(), paddle.to_tensor(oracles.random(2, 3, 9, 8).astype("float32"))
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=[paddle.static.InputSpec([None, 3, 9, 8], "float32")])
    assert "ppeffconv" not in (tmp_path / "net.json").read_text()
    assert error(paddle.jit.load(str(tmp_path / "net"))(x).numpy(), net(x).numpy()) < TOLERANCE
