"""`ops.ddf` against golden numbers, a loop over pixels and taps, and finite differences."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv import ops
from tests import oracles

NINE = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
DECREASING = (np.arange(81.0).reshape(1, 9, 3, 3)) / 10  # f[t, y, x] = (9 t + 3 y + x) / 10
# spatial filter, arguments, output for x = channel filter = 1..9
GOLDEN = [
    (np.ones((1, 9, 3, 3)), {}, [[94, 154, 106], [186, 285, 186], [106, 154, 94]]),
    (DECREASING, {}, [[597.6, 935.2, 588.2], [1146.6, 1680, 1016.4], [439.8, 611.8, 334.4]]),
    (DECREASING, {"mode": "add"}, [[167.8, 275.8, 190.2], [337.2, 519, 340.2], [194.2, 284.8, 175.8]]),
    (DECREASING, {"dilation": 2}, [[1035, 446.6, 811], [250.8, 100, 174.2], [447, 178.4, 307]]),
    (DECREASING[:, :, ::2, ::2], {"stride": 2}, [[597.6, 588.2], [439.8, 334.4]]),
]


@pytest.mark.parametrize(("f", "arguments", "expected"), GOLDEN)
def test_golden(f, arguments, expected):
    y = ops.ddf(*(paddle.to_tensor(a.copy()) for a in (NINE, NINE, f)), **arguments)
    np.testing.assert_allclose(y.numpy()[0, 0], expected, rtol=1e-12)


SHAPES = [(1, 1, 1, 1), (2, 3, 5, 4), (1, 17, 7, 2), (2, 4, 3, 9)]


@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"), [(1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 3, 2), (5, 2, 8), (7, 1, 1)]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_loop(shape, kernel_size, stride, dilation, mode):
    batch, channels, height, width = shape
    taps = kernel_size**2
    x, c = oracles.random(*shape), oracles.random(batch, channels, taps, seed=1)
    f = oracles.random(batch, taps, (height - 1) // stride + 1, (width - 1) // stride + 1, seed=2)
    y = ops.ddf(*map(paddle.to_tensor, (x, c, f)), kernel_size, stride, dilation, mode)
    np.testing.assert_allclose(y.numpy(), oracles.ddf(x, c, f, kernel_size, stride, dilation, mode), atol=1e-10)


@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 1, 1), (3, 2, 2), (5, 3, 1)])
def test_gradients_equal_finite_differences(kernel_size, stride, dilation, mode):
    shape = (2, 3, 5, 4)
    out = ((shape[2] - 1) // stride + 1, (shape[3] - 1) // stride + 1)
    arrays = [
        oracles.random(*shape),
        oracles.random(2, 3, kernel_size**2, seed=1),
        oracles.random(2, kernel_size**2, *out, seed=2),
    ]
    weight = oracles.random(2, 3, *out, seed=3)

    def loss(values):
        return (ops.ddf(*values, kernel_size, stride, dilation, mode) * paddle.to_tensor(weight)).sum()

    tensors = [oracles.tensor(a, grad=True) for a in arrays]
    loss(tensors).backward()
    for i, array in enumerate(arrays):

        def at(changed, i=i):
            return float(loss([paddle.to_tensor(changed if k == i else a) for k, a in enumerate(arrays)]))

        picks, numeric = oracles.numeric_gradient(at, array, samples=25)
        np.testing.assert_allclose(tensors[i].grad.numpy().reshape(-1)[picks], numeric, atol=1e-6)


def test_channel_filter_may_be_square_or_flat():
    x, c, f = (paddle.to_tensor(oracles.random(*s)) for s in ((2, 3, 4, 5), (2, 3, 3, 3), (2, 9, 4, 5)))
    assert (ops.ddf(x, c, f) == ops.ddf(x, c.flatten(2), f)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "max"}, "mode must be 'mul' or 'add'"),
        ({"kernel_size": 2}, "kernel_size must be an odd positive integer, got 2"),
        ({"stride": -1}, "stride must be a positive integer"),
        ({"dilation": 0}, "dilation must be a positive integer"),
        ({"x": (2, 3, 4)}, "x must be"),
        ({"c": (2, 3, 8)}, "channel_filter must be"),
        ({"c": (2, 4, 9)}, "channel_filter must be"),
        ({"f": (2, 9, 4, 4)}, "spatial_filter must be"),
        ({"f": (2, 25, 4, 5)}, "spatial_filter must be"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    shapes = {"x": (2, 3, 4, 5), "c": (2, 3, 9), "f": (2, 9, 4, 5)}
    tensors = [paddle.to_tensor(oracles.random(*change.pop(k, shape))) for k, shape in shapes.items()]
    with pytest.raises(ValueError, match=message):
        ops.ddf(*tensors, **change)


def test_dtypes_must_agree():
    x, c, f = (paddle.to_tensor(oracles.random(*s)) for s in ((1, 2, 3, 3), (1, 2, 9), (1, 9, 3, 3)))
    with pytest.raises(ValueError, match="dtypes must agree"):
        ops.ddf(x.astype("float32"), c, f)


def test_a_forced_backend_that_is_missing_is_an_error():
    x, c, f = (paddle.to_tensor(oracles.random(*s)) for s in ((1, 2, 3, 3), (1, 2, 9), (1, 9, 3, 3)))
    with pytest.raises(RuntimeError, match="no compiled kernels"):
        ops.ddf(x, c, f, backend="cuda")
    assert {"ddf", "sample_interpolate"} <= set(ops.status())
