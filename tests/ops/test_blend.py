"""`ops.blend` against the layer-by-layer formula, finite differences, and its own reference form."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv import ops
from ppeffconv.layers import SPConv2D
from ppeffconv.ops import loader
from tests import oracles

HAS_KERNEL = "blend" in loader.library().ops
needs_kernel = pytest.mark.skipif(not HAS_KERNEL, reason="kernels not compiled")
BACKENDS = ["reference", pytest.param("cpu", marks=needs_kernel)]
SHAPES = [(2, 1, 1, 1), (1, 3, 1, 2), (3, 33, 3, 5), (2, 5, 4, 4), (1, 2, 1, 17), (2, 3, 3, 11), (1, 4, 31, 7)]


def tensors(shape, dtype):
    """x, y, weights and biases, which take gradients; the running statistics."""
    channels = shape[1]
    arrays = [oracles.random(*shape) + 1, 2 * oracles.random(*shape, seed=1)]
    arrays += [1 + oracles.random(channels, seed=2 + i) for i in range(4)]
    inputs = [paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays]
    statistics = [oracles.random(channels, seed=6 + i) ** 2 + 0.5 for i in range(4)]
    return inputs, [paddle.to_tensor(a.astype(dtype)) for a in statistics]


def run(inputs, statistics, backend, training):
    x, y, weight_x, bias_x, weight_y, bias_y = inputs
    mean_x, var_x, mean_y, var_y = statistics
    norms = (mean_x, var_x, weight_x, bias_x), (mean_y, var_y, weight_y, bias_y)
    return ops.blend(x, y, *norms, training=training, backend=backend)


def by_hand(inputs, statistics, training):
    x, y, *parameters = (t.numpy() for t in inputs)
    values = []
    for z, weight, bias, mean, variance in (
        (x, *parameters[:2], *(t.numpy() for t in statistics[:2])),
        (y, *parameters[2:], *(t.numpy() for t in statistics[2:])),
    ):
        if training:
            mean, variance = z.mean((0, 2, 3)), z.var((0, 2, 3))
        mean, variance, weight, bias = (a.reshape(1, -1, 1, 1) for a in (mean, variance, weight, bias))
        values.append((z - mean) / np.sqrt(variance + 1e-5) * weight + bias)
    logits = np.stack([v.mean((2, 3), keepdims=True) for v in values])
    shares = np.exp(logits) / np.exp(logits).sum(0)
    return sum(share * value for share, value in zip(shares, values))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_equals_the_formula(shape, training, backend):
    inputs, statistics = tensors(shape, "float64")
    expected = by_hand(inputs, statistics, training)
    before = [s.numpy() for s in statistics]
    np.testing.assert_allclose(run(inputs, statistics, backend, training).numpy(), expected, rtol=1e-9, atol=1e-9)
    batch = [f(inputs[i].numpy()) for i in (0, 1) for f in (lambda a: a.mean((0, 2, 3)), lambda a: a.var((0, 2, 3)))]
    for tensor, old, new in zip(statistics, before, batch):
        moved = 0.9 * old + 0.1 * new if training else old
        np.testing.assert_allclose(tensor.numpy(), moved, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("training", [False, True])
def test_gradients_equal_finite_differences(training, backend):
    inputs, statistics = tensors((2, 3, 3, 5), "float64")
    direction = paddle.to_tensor(oracles.random(2, 3, 3, 5, seed=20).astype("float64"))

    def loss():
        return (run(inputs, [s.clone() for s in statistics], backend, training) * direction).sum()

    oracles.check_gradients(loss, inputs)


@needs_kernel
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_float32_equals_the_reference(shape, training):
    results = []
    for backend, dtype in (("cpu", "float32"), ("cpu", "float32"), ("reference", "float64")):
        inputs, statistics = tensors(shape, dtype)
        y = run(inputs, statistics, backend, training)
        (y * paddle.to_tensor(oracles.random(*shape, seed=20).astype(dtype))).sum().backward()
        results.append([t.numpy() for t in (y, *statistics, *(t.grad for t in inputs))])
    for first, again, expected in zip(*results):
        assert np.array_equal(first, again), "a second run must give the same bits"
        np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))


@needs_kernel
def test_the_layer_uses_it_unless_somebody_watches_its_norms(monkeypatch):
    calls, call = [], loader.call
    monkeypatch.setattr(loader, "call", lambda op, *arguments: calls.append(op) or call(op, *arguments))
    net, x = SPConv2D(8, 6), paddle.to_tensor(oracles.random(2, 8, 7, 5).astype("float32"))
    net.eval()
    fused = net(x).numpy()
    assert "blend" in calls
    calls.clear()
    net.bn1.register_forward_post_hook(lambda layer, inputs, output: None)
    np.testing.assert_allclose(net(x).numpy(), fused, rtol=1e-4, atol=1e-5)
    assert "blend" not in calls
    net.bn2 = nn.GroupNorm(2, 6)  # any other norm in its place is called
    assert net(x).shape == [2, 6, 7, 5]
    nn.SyncBatchNorm.convert_sync_batchnorm(net)


BAD = {
    "norm_x must be": {"norm_x": (paddle.ones([3]),)},
    "x must be a floating": {"x": "image"},
    r"x must be \[N, C, H, W\]": {"x": paddle.ones([2, 3]), "y": paddle.ones([2, 3])},
    "y must be": {"y": paddle.ones([2, 3, 4, 5])},
    "bias must be": {"norm_y": (paddle.ones([3]), paddle.ones([3]), paddle.ones([3]), paddle.ones([4]))},
    "backend must be": {"backend": "gpu"},
}


@pytest.mark.parametrize("message", BAD)
def test_wrong_calls(message):
    norm = (paddle.ones([3]),) * 4
    images = {name: paddle.ones([2, 3, 4, 4]) for name in ("x", "y")}
    with pytest.raises(ValueError, match=message):
        ops.blend(**{**images, "norm_x": norm, "norm_y": norm, **BAD[message]})
