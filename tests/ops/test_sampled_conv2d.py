"""`ops.sampled_conv2d` against a loop over output pixels and Paddle's convolution, and its errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles

compiled = pytest.mark.skipif("sampled_conv2d" not in loader.library().ops, reason="kernels not compiled")
BACKENDS = ["reference", pytest.param("cpu", marks=compiled)]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # of the largest magnitude
# (N, C, H, W), (O, kh, kw), arguments: odd and tiny sizes, edges of vectors, of panels and of tiles, every argument
CASES = [
    ((1, 1, 1, 1), (1, 1, 1), {}),
    ((1, 1, 1, 2), (2, 1, 1), {"padding": (0, 3)}),
    ((2, 3, 7, 5), (4, 3, 3), {"padding": 1}),
    ((1, 33, 9, 17), (9, 3, 3), {"padding": 1}),
    ((5, 2, 3, 3), (8, 3, 3), {"padding": 1}),
    ((1, 5, 12, 16), (7, 1, 1), {}),
    ((3, 4, 9, 15), (17, 3, 3), {"stride": 2, "padding": 1}),
    ((1, 2, 11, 13), (3, 4, 5), {"stride": (2, 1), "padding": (3, 1), "dilation": (1, 2)}),
    ((1, 2, 11, 13), (3, 5, 4), {"stride": (1, 3), "padding": (0, 9)}),
    ((1, 4, 20, 33), (4, 3, 3), {"padding": 8, "dilation": 8}),
    ((1, 3, 5, 7), (2, 7, 7), {"padding": 3}),
    ((2, 300, 4, 6), (5, 1, 1), {}),
    ((1, 30, 24, 31), (3, 3, 3), {"padding": 1}),
]


def make(x_shape, kernel, arguments, dtype="float64", bias=True, density=0.5):
    """x, weight, mask and bias as arrays."""
    out, *size = kernel
    x, weight = oracles.random(*x_shape), oracles.random(out, x_shape[1], *size, seed=1)
    shape = ops.conv2d(paddle.to_tensor(x), paddle.to_tensor(weight), **arguments).shape
    mask = np.random.default_rng(3).random((shape[0], 1, *shape[2:])) < density
    return x.astype(dtype), weight.astype(dtype), mask, oracles.random(out, seed=2).astype(dtype) if bias else None


def run(arrays, **arguments):
    tensors = [None if a is None else paddle.to_tensor(a) for a in arrays]
    return ops.sampled_conv2d(*tensors, **arguments).numpy()


def error(got, expected):
    assert got.shape == expected.shape
    return np.abs(got - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_loop(case, bias, backend):
    x, weight, mask, shift = make(*case, bias=bias)
    expected = oracles.conv2d(x, weight, shift, **case[2]) * mask
    assert error(run((x, weight, mask, shift), **case[2], backend=backend), expected) < TOLERANCE["float64"]


@compiled
@pytest.mark.parametrize("density", [0, 0.02, 0.35, 0.9, 1])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_plain_paddle_at_every_density(dtype, density):
    for case in CASES:
        x, weight, mask, bias = make(*case, density=density)
        exact = run((x, weight, mask, bias), **case[2], backend="reference")
        got = run((x.astype(dtype), weight.astype(dtype), mask, bias.astype(dtype)), **case[2], backend="cpu")
        assert got.dtype == dtype
        assert error(got, exact) < TOLERANCE[dtype], case
        assert not got[~np.broadcast_to(mask, got.shape)].any()


@compiled
@pytest.mark.parametrize("which", ["x", "weight", "mask", "bias"])
def test_one_changed_number_is_noticed(which):
    arrays = dict(zip(("x", "weight", "mask", "bias"), make((1, 8, 9, 10), (6, 3, 3), {"padding": 1}, "float32")))
    expected = run(arrays.values(), padding=1, backend="reference")
    changed = arrays[which].copy()
    changed.flat[20 if which in ("x", "weight") else 3] += 0.01 if which != "mask" else 1
    if which == "mask":
        changed.flat[3] = not arrays["mask"].flat[3]
    got = run({**arrays, which: changed}.values(), padding=1, backend="cpu")
    assert error(got, expected) > 10 * TOLERANCE["float32"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float16"])
def test_whatever_is_not_zero_in_a_mask_is_active(dtype, backend):
    x, weight, mask, bias = make(*CASES[2])
    expected = run((x, weight, mask, bias), padding=1, backend="reference")
    other = (mask * 0.5).astype(dtype) if "float" in dtype else (mask * 3).astype(dtype)
    assert error(run((x, weight, other, bias), padding=1, backend=backend), expected) < TOLERANCE["float64"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_lies_under_inactive_positions_does_not_matter(backend):
    x, weight, mask, _ = make((1, 3, 6, 7), (4, 1, 1), {})
    expected = run((x, weight, mask), backend=backend)
    x[np.broadcast_to(~mask, x.shape)] = np.nan
    np.testing.assert_array_equal(run((x, weight, mask), backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_and_empty_tensors(backend):
    x, weight, mask, bias = make(*CASES[2])
    turned = [paddle.to_tensor(a.transpose(0, 2, 3, 1).copy()).transpose([0, 3, 1, 2]) for a in (x, weight, mask)]
    got = ops.sampled_conv2d(*turned, paddle.to_tensor(bias), padding=1, backend=backend).numpy()
    assert error(got, oracles.conv2d(x, weight, bias, padding=1) * mask) < TOLERANCE["float64"]
    assert run((x[:0], weight, mask[:0], bias), padding=1, backend=backend).shape == (0, 4, 7, 5)


@compiled
def test_auto_takes_the_dense_convolution_where_nothing_is_inactive():
    x, weight, _, bias = (paddle.to_tensor(a) for a in make(*CASES[3], dtype="float32"))
    full = paddle.ones([1, 1, 9, 17])
    dense = ops.conv2d(x, weight, bias, padding=1)
    assert (ops.sampled_conv2d(x, weight, full, bias, padding=1) == dense).all()
    full[0, 0, 4, 4] = 0
    assert error(ops.sampled_conv2d(x, weight, full, bias, padding=1).numpy(), (dense * full).numpy()) < 1e-5


@compiled
def test_results_do_not_depend_on_the_run():
    arrays = make((2, 40, 30, 41), (33, 3, 3), {"padding": 1}, "float32")
    first = run(arrays, padding=1, backend="cpu")
    assert all(np.array_equal(first, run(arrays, padding=1, backend="cpu")) for _ in range(3))


def test_a_gradient_is_refused_with_the_way_out():
    x, weight, mask, bias = (paddle.to_tensor(a) for a in make(*CASES[2]))
    weight.stop_gradient = False
    with pytest.raises(ValueError, match="no gradient.*no_grad.*conv2d"):
        ops.sampled_conv2d(x, weight, mask, bias, padding=1)
    with paddle.no_grad():
        assert ops.sampled_conv2d(x, weight, mask, bias, padding=1).stop_gradient


def test_a_traced_program_needs_no_kernel(tmp_path):
    x, weight, mask, _ = (paddle.to_tensor(a) for a in make(*CASES[2], dtype="float32"))

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.weight = self.create_parameter(weight.shape)
            self.weight.set_value(weight)

        def forward(self, x, mask):
            return ops.sampled_conv2d(x, self.weight, mask, padding=1)

    spec = [paddle.static.InputSpec([None, c, None, None], t) for c, t in ((3, "float32"), (1, "bool"))]
    net = Net()
    net.eval()
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=spec)
    assert "ppeffconv" not in (tmp_path / "net.json").read_text()
    got = paddle.jit.load(str(tmp_path / "net"))(x, mask).numpy()
    assert error(got, ops.sampled_conv2d(x, weight, mask, padding=1).numpy()) < TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((2, 3, 4))}, "sampled_conv2d: x must be a tensor of 4 dimensions, got shape"),
        ({"weight": np.ones((4, 2, 3, 3))}, "sampled_conv2d: weight .* does not fit x"),
        ({"weight": np.ones((4, 3, 9, 3))}, "larger than x"),
        ({"weight": np.ones((4, 3, 3, 3), "float32")}, "share one floating type"),
        (
            {"mask": np.ones((2, 1, 6, 6))},
            r"mask must be \[N, 1, OH, OW\] = \[2, 1, 4, 4\] for .*, got \[2, 1, 6, 6\]",
        ),
        ({"mask": np.ones((2, 4, 4, 4))}, "mask must be"),
        ({"mask": np.ones((4, 4))}, "mask must be"),
        ({"mask": None}, "mask must be a tensor, got NoneType"),
        ({"bias": np.ones(3)}, r"bias must be \[4\]"),
        ({"stride": 0}, "stride must be"),
        ({"padding": "SAME"}, "padding must be"),
        ({"dilation": (1, 2, 3)}, "dilation must be"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"x": np.ones((2, 3, 6, 6)), "weight": np.ones((4, 3, 3, 3)), "mask": np.ones((2, 1, 4, 4)), **change}
    arguments = {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match=message):
        ops.sampled_conv2d(**arguments)


@compiled
def test_the_op_itself_refuses_what_python_would_have():
    x, weight, mask, bias = (paddle.to_tensor(a) for a in make(*CASES[2]))
    for arguments in (
        (x, weight, mask, bias[:2], [1, 1], [1, 1], [1, 1]),
        (x, weight, mask, bias, [1, 1], [0, 0], [1, 1]),
        (x, weight, mask, bias, [1], [1, 1], [1, 1]),
        (x, weight, mask, bias, [1, 1], [1, 1], [0, 1]),
        (x, weight[:, :2], mask, bias, [1, 1], [1, 1], [1, 1]),
        (x, weight, mask.astype("float64"), bias, [1, 1], [1, 1], [1, 1]),
        (x.astype("float32"), weight, mask, None, [1, 1], [1, 1], [1, 1]),
    ):
        with pytest.raises((ValueError, RuntimeError, OSError), match="sampled_conv2d: "):
            loader.call("sampled_conv2d", *arguments)
