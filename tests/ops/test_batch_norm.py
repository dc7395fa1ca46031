"""`ops.batch_norm` against the formula in numpy, finite differences, and Paddle's BatchNorm, sum and ReLU in a row."""

from __future__ import annotations

import itertools

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from ppeffconv import ops
from ppeffconv.layers.norm import BatchNorm2D, norm_act
from ppeffconv.ops import loader
from tests import oracles

HAS_KERNEL = "batch_norm" in loader.library().ops
needs_kernel = pytest.mark.skipif(not HAS_KERNEL, reason="kernels not compiled")
BACKENDS = ["reference", pytest.param("cpu", marks=needs_kernel)]
# single numbers, planes at the edges of 4, 8 and 16 lanes and of two vectors, one channel, other ranks than four
SHAPES = [(2, 1, 1, 1), (1, 3, 1, 2), (3, 33, 3, 5), (2, 5, 4, 4), (2, 2, 1, 17), (1, 4, 31, 1), (2, 3, 8, 4)]
SHAPES += [(2, 3, 3, 11), (1, 2, 7, 9), (4, 6), (2, 3, 5), (2, 3, 2, 3, 4)]


def tensors(shape, dtype, residual):
    """x, weight, bias (and residual) that take gradients; running mean and variance."""
    channels = shape[1]
    arrays = [3 * oracles.random(*shape) + 5, *(1 + oracles.random(channels, seed=i) for i in (1, 2))]
    arrays += [oracles.random(*shape, seed=3)] * residual
    inputs = [paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays]
    statistics = [oracles.random(channels, seed=4), 1 + oracles.random(channels, seed=5) ** 2]
    return inputs, [paddle.to_tensor(a.astype(dtype)) for a in statistics]


def run(inputs, statistics, backend, **kwargs):
    x, weight, bias, *residual = inputs
    return ops.batch_norm(x, *statistics, weight, bias, *residual, backend=backend, **kwargs)


def by_hand(x, weight, bias, residual, mean, variance, relu, epsilon=1e-5):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, variance, weight, bias = (a.reshape(shape) for a in (mean, variance, weight, bias))
    y = (x - mean) / np.sqrt(variance + epsilon) * weight + bias + (0 if residual is None else residual)
    return np.maximum(y, 0) if relu else y


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_equals_the_formula(shape, relu, residual, training, backend):
    inputs, statistics = tensors(shape, "float64", residual)
    x, weight, bias, *rest = (t.numpy() for t in inputs)
    mean, variance = (t.numpy() for t in statistics)
    axes = (0, *range(2, x.ndim))
    used = (x.mean(axes), x.var(axes)) if training else (mean, variance)
    expected = by_hand(x, weight, bias, rest[0] if rest else None, *used, relu)
    got = run(inputs, statistics, backend, training=training, relu=relu, momentum=0.75)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-9)
    moved = [0.75 * a + 0.25 * b for a, b in zip((mean, variance), used)] if training else (mean, variance)
    for tensor, value in zip(statistics, moved):
        np.testing.assert_allclose(tensor.numpy(), value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("relu", "residual", "training"), itertools.product([False, True], repeat=3))
def test_gradients_equal_finite_differences(relu, residual, training, backend):
    inputs, statistics = tensors((2, 3, 3, 5), "float64", residual)
    direction = paddle.to_tensor(oracles.random(2, 3, 3, 5, seed=6).astype("float64"))

    def loss():
        return (run(inputs, [s.clone() for s in statistics], backend, training=training, relu=relu) * direction).sum()

    oracles.check_gradients(loss, inputs)


@needs_kernel
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("relu", "residual", "training"), itertools.product([False, True], repeat=3))
def test_float32_equals_the_reference(shape, relu, residual, training):
    results = []
    for backend, dtype in (("cpu", "float32"), ("cpu", "float32"), ("reference", "float64")):
        inputs, statistics = tensors(shape, dtype, residual)
        y = run(inputs, statistics, backend, training=training, relu=relu)
        (y * paddle.to_tensor(oracles.random(*shape, seed=6).astype(dtype))).sum().backward()
        results.append([t.numpy() for t in (y, *statistics, *(t.grad for t in inputs))])
    for first, again, expected in zip(*results):
        assert np.array_equal(first, again), "a second run must give the same bits"
        np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))


@needs_kernel
def test_a_mean_far_from_zero_costs_no_precision():
    """The variance is a sum of squared differences from the mean, not a difference of large sums."""
    x = paddle.to_tensor((1e4 + oracles.random(8, 2, 16, 16)).astype("float32"))
    ones, zeros = paddle.ones([2]), paddle.zeros([2])
    y = ops.batch_norm(x, zeros.clone(), ones.clone(), ones, zeros, training=True, backend="cpu").numpy()
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, rtol=1e-4)
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-3)


def test_the_layer_is_paddles_batch_norm():
    """Names, values, statistics and gradients; also after a step in eval mode."""
    ours, theirs = BatchNorm2D(5), nn.BatchNorm2D(5)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for mode in ("train", "train", "eval"):
        x = paddle.to_tensor(oracles.random(3, 5, 6, 7).astype("float32"))
        values = []
        for net in (ours, theirs):
            getattr(net, mode)()
            values.append(net(x))
            (values[-1] ** 2).sum().backward()
        np.testing.assert_allclose(values[0].numpy(), values[1].numpy(), rtol=1e-4, atol=1e-5)
        for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values()):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
        for a, b in zip(ours.parameters(), theirs.parameters()):
            if not a.stop_gradient:
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("use_global_stats", [None, True, False])
@pytest.mark.parametrize("training", [False, True])
def test_every_setting_of_the_statistics(use_global_stats, training):
    x = paddle.to_tensor(oracles.random(3, 2, 4, 5).astype("float32"))
    results = []
    for kind in (BatchNorm2D, nn.BatchNorm2D):
        net = kind(2, use_global_stats=use_global_stats)
        net.training = training
        results.append([net(x).numpy(), net._mean.numpy(), net._variance.numpy()])
    for got, expected in zip(*results):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_hooks_and_other_norms_are_called():
    x = paddle.to_tensor(oracles.random(2, 4, 3, 3).astype("float32"))
    hooked, seen = BatchNorm2D(4), []
    hooked.register_forward_post_hook(lambda layer, inputs, output: seen.append(output.shape))
    norm_act(hooked, x, relu=True)
    assert seen == [[2, 4, 3, 3]]
    group = nn.GroupNorm(2, 4)
    np.testing.assert_allclose(norm_act(group, x, x).numpy(), F.relu(group(x) + x).numpy(), rtol=1e-6)


BAD = {
    "x must be a floating": {"x": paddle.ones([2, 3, 4, 4], "int32")},
    "with channels and pixels": {"x": paddle.ones([2, 3, 0, 4])},
    "got str": {"x": "image"},
    "weight must be": {"weight": paddle.ones([4])},
    "bias must be": {"bias": None},
    "running_mean must be": {"running_mean": paddle.ones([3, 1])},
    "residual must be": {"residual": paddle.ones([2, 3, 4, 5])},
    "backend must be": {"backend": "gpu"},
}


@pytest.mark.parametrize("message", BAD)
def test_wrong_calls(message):
    names = ("running_mean", "running_var", "weight", "bias")
    arguments = {"x": paddle.ones([2, 3, 4, 4]), **{name: paddle.ones([3]) for name in names}, **BAD[message]}
    with pytest.raises(ValueError, match=message):
        ops.batch_norm(**arguments)
