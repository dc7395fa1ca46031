"""SPConv2D against a numpy form, on odd sizes, every ratio, and bad arguments."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.layers import SPConv2D
from tests import oracles


def batch_norm(x, norm):
    mean, var = norm._mean.numpy(), norm._variance.numpy()
    scale = norm.weight.numpy() / np.sqrt(var + 1e-5)
    return x * scale.reshape(1, -1, 1, 1) + (norm.bias.numpy() - mean * scale).reshape(1, -1, 1, 1)


def naive(layer, x):
    w = {name: p.numpy() for name, p in layer.named_parameters()}
    x3, x1 = x[:, : layer.representative], x[:, layer.representative :]
    grouped = oracles.conv2d(x3, w["gwc.weight"], None, layer.stride, 1, 1, layer.groups)
    if layer.stride == 2:
        x3, x1 = oracles.average_pool2(x3), oracles.average_pool2(x1)
    u3 = batch_norm(grouped + oracles.conv2d(x3, w["pwc.weight"]), layer.bn1)
    u1 = batch_norm(oracles.conv2d(x1, w["conv1x1.weight"], w["conv1x1.bias"]), layer.bn2)
    logits = np.stack([u3.mean((2, 3)), u1.mean((2, 3))])
    beta = np.exp(logits) / np.exp(logits).sum(0)
    return beta[0][..., None, None] * u3 + beta[1][..., None, None] * u1


def randomise(layer):
    for norm in (layer.bn1, layer.bn2):
        norm._mean.set_value(paddle.randn(norm._mean.shape) * 0.1)
        norm._variance.set_value(paddle.rand(norm._variance.shape) + 0.5)
        norm.weight.set_value(paddle.randn(norm.weight.shape))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("channels", "out", "ratio", "groups"),
    [(8, 8, 0.5, 2), (7, 6, 0.5, 2), (16, 4, 1 / 16, 2), (5, 3, 0.9, 4), (2, 1, 0.01, 2)],
)
@pytest.mark.parametrize("size", [(7, 9), (1, 1), (4, 5)])
def test_equals_the_numpy_form(channels, out, ratio, groups, stride, size):
    layer = SPConv2D(channels, out, stride, ratio, groups)
    randomise(layer)
    oracles.to_float64(layer).eval()
    x = oracles.random(1, channels, *size)
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), naive(layer, x), atol=1e-9)


def test_groups_are_lowered_until_they_divide():
    assert SPConv2D(16, 16, ratio=1 / 16).groups == 1  # one representative channel
    assert SPConv2D(12, 8, ratio=0.5, groups=4).groups == 2  # 6 representative channels
    assert SPConv2D(16, 15, ratio=0.5).groups == 1
    assert SPConv2D(16, 16, ratio=0.5).groups == 2


def test_parameters_are_those_of_the_paper():
    """c * C * (1 + 4.5 a) weights, one bias and two BatchNorms."""
    for ratio in (0.5, 0.25, 0.125):
        layer = SPConv2D(64, 32, ratio=ratio)
        count = sum(p.size for p in layer.parameters() if not p.stop_gradient)
        assert count == 64 * 32 * (1 + 4.5 * ratio) + 32 * 5


def test_trains_on_one_sample_of_odd_size():
    layer = SPConv2D(6, 6, 2)
    x = paddle.randn([1, 6, 7, 7])
    x.stop_gradient = False
    layer(x).square().sum().backward()
    for name in ("gwc", "pwc", "conv1x1", "bn1", "bn2"):
        assert 0 < float(getattr(layer, name).weight.grad.abs().max()) < np.inf
    assert float(x.grad.abs().max()) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": 0}, "ratio must lie between 0 and 1"),
        ({"ratio": 1.0}, "ratio must lie between 0 and 1"),
        ({"stride": 3}, "stride must be 1 or 2"),
        ({"in_channels": 1}, "in_channels >= 2"),
        ({"groups": 0}, "groups must be a positive integer"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SPConv2D(**{"in_channels": 8, "out_channels": 8, **arguments})


@pytest.mark.parametrize(
    ("shape", "dtype"), [([1, 7, 4, 4], "float32"), ([1, 8, 4], "float32"), ([1, 8, 4, 4], "int64")]
)
def test_bad_inputs_are_named(shape, dtype):
    with pytest.raises(ValueError, match="SPConv2D expects"):
        SPConv2D(8, 8)(paddle.ones(shape, dtype))
