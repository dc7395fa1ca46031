"""DDF2D, FilterNorm and DDFUpsample2D against numpy forms, known parameter counts, and bad arguments."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.layers import DDF2D, DDFSeparable2D, DDFUpsample2D, FilterNorm
from tests import oracles


def parameters(layer):
    return sum(p.size for p in layer.parameters())


def normalise(v, axis):
    return (v - v.mean(axis, keepdims=True)) / (v.std(axis, ddof=1, keepdims=True) + 1e-10)


def branch_filters(x, channel_branch, kernel_size):
    """The channel branch in numpy: [N, C, T]."""
    _, squeeze, _, expand, norm = channel_branch
    hidden = x.mean((2, 3)) @ squeeze.weight.numpy()[:, :, 0, 0].T + squeeze.bias.numpy()
    logits = np.maximum(hidden, 0) @ expand.weight.numpy()[:, :, 0, 0].T + expand.bias.numpy()
    taps = kernel_size**2
    return normalise(logits.reshape(len(x), -1, taps), 2) * norm.std.numpy().reshape(-1, taps)


def naive(layer, x):
    """The whole module, one head at a time."""
    k, heads, taps = layer.kernel_size, layer.heads, layer.kernel_size**2
    predict = layer.spatial_branch[0]
    logits = oracles.conv2d(x, predict.weight.numpy(), predict.bias.numpy(), layer.stride)
    c = branch_filters(x, layer.channel_branch, k)
    width, parts = x.shape[1] // heads, []
    for h in range(heads):
        f = normalise(logits[:, h * taps : (h + 1) * taps], 1) * (np.sqrt(2) / k)
        part = slice(h * width, (h + 1) * width)
        parts.append(oracles.ddf(x[:, part], c[:, part], f, k, layer.stride, layer.dilation, layer.mode))
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize(
    ("channels", "size", "kernel_size", "stride", "dilation", "heads"),
    [
        (4, (7, 9), 3, 1, 1, 1),
        (1, (5, 5), 3, 2, 1, 1),
        (6, (7, 5), 5, 2, 2, 2),
        (9, (2, 3), 3, 1, 8, 3),
    ],
)
def test_equals_the_numpy_form(channels, size, kernel_size, stride, dilation, heads, mode):
    layer = oracles.to_float64(DDF2D(channels, kernel_size, stride, dilation, heads, mode=mode))
    x = oracles.random(2, channels, *size)
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), naive(layer, x), atol=1e-9)


@pytest.mark.parametrize(("channels", "count"), [(64, 9429), (128, 35490), (256, 137532), (512, 536175)])
def test_parameters_are_the_papers(channels, count):
    assert parameters(DDF2D(channels)) == count


def test_few_channels_keep_one_hidden_unit():
    for channels in (1, 2, 4):
        layer = DDF2D(channels)
        assert layer.channel_branch[1].weight.shape[0] == 1
        assert layer(paddle.randn([1, channels, 3, 3])).shape == [1, channels, 3, 3]


def test_filter_norm_scales():
    spatial = FilterNorm(2, 3, "spatial")
    x = oracles.random(1, 18, 2, 2).astype("float32")
    expected = normalise(x.reshape(1, 2, 9, 2, 2), 2).reshape(x.shape) * np.sqrt(2) / 3
    np.testing.assert_allclose(spatial(paddle.to_tensor(x)).numpy(), expected, atol=1e-5)
    assert spatial.std is None
    many = FilterNorm(4000, 3, "channel", gain=1.0).std.numpy()
    assert abs(many.mean()) < 0.01
    assert abs(many.std() * 3 - 1) < 0.02


def test_every_parameter_gets_a_gradient():
    layer = DDF2D(20, heads=2)  # wide enough that some hidden unit of the channel branch is positive
    layer(paddle.randn([2, 20, 5, 5])).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, name


def test_separable_changes_the_width():
    assert DDFSeparable2D(6, 10, 2)(paddle.randn([1, 6, 7, 7])).shape == [1, 10, 4, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be an odd integer >= 3, got 4"),
        ({"kernel_size": 1}, "an odd integer >= 3, got 1"),
        ({"mode": "sum"}, "mode must be"),
        ({"heads": 3}, "heads must divide"),
        ({"se_ratio": 0}, "se_ratio must be positive"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DDF2D(8, **arguments)
    if "stride" not in arguments:
        with pytest.raises(ValueError, match=message):
            DDFUpsample2D(8, **arguments)


# DDF-Up


def test_upsampler_parameters_are_the_papers():
    assert parameters(DDFUpsample2D(256)) == 560368


@pytest.mark.parametrize("guide_channels", [None, 5])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_upsampler_equals_the_numpy_form(scale, guide_channels):
    layer = oracles.to_float64(DDFUpsample2D(4, scale, guide_channels))
    x = oracles.random(2, 4, 3, 5)
    guide = x if guide_channels is None else oracles.random(2, 5, 3, 5, seed=1)
    expected = np.zeros((2, 4, 3 * scale, 5 * scale))
    for branch in range(scale**2):
        source, modules = guide, list(layer.spatial_branches[branch])
        for conv in modules[:-1]:
            groups = source.shape[1] if conv.weight.shape[1] == 1 else 1
            padding = conv.weight.shape[2] // 2
            source = oracles.conv2d(source, conv.weight.numpy(), conv.bias.numpy(), 1, padding, 1, groups)
        f = normalise(source, 1) / 3
        y = oracles.ddf(x, branch_filters(x, layer.channel_branches[branch], 3), f, 3, 1, 1, "mul")
        expected[:, :, branch // scale :: scale, branch % scale :: scale] = y
    given = () if guide_channels is None else (paddle.to_tensor(guide),)
    np.testing.assert_allclose(layer(paddle.to_tensor(x), *given).numpy(), expected, atol=1e-9)


def test_upsampler_guides_are_checked():
    guided, plain = DDFUpsample2D(4, guide_channels=3), DDFUpsample2D(4)
    x = paddle.randn([1, 4, 4, 4])
    with pytest.raises(ValueError, match="expects a guide"):
        guided(x)
    with pytest.raises(ValueError, match="must have the input's size"):
        guided(x, paddle.randn([1, 3, 8, 8]))
    with pytest.raises(ValueError, match="guide"):
        guided(x, paddle.randn([1, 4, 4, 4]))
    with pytest.raises(ValueError, match="self-guided"):
        plain(x, x)
