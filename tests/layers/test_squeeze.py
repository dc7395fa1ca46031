"""Squeeze-and-excitation against its equations."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.layers import OctaveSqueezeExcitation, SqueezeExcitation


def naive(x, first, second):
    """Gates of [N, C] means, each layer as (weight, bias) of a 1x1 convolution."""
    hidden = np.maximum(x @ first.weight.numpy()[:, :, 0, 0].T + first.bias.numpy(), 0)
    return 1 / (1 + np.exp(-(hidden @ second.weight.numpy()[:, :, 0, 0].T + second.bias.numpy())))


def test_gates_are_those_of_the_means():
    layer, x = SqueezeExcitation(33, 8), paddle.randn([2, 33, 5, 7])
    gates = naive(x.numpy().mean((2, 3)), layer.fc1, layer.fc2)
    np.testing.assert_allclose(layer(x).numpy(), x.numpy() * gates[:, :, None, None], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.25])
def test_octave_groups_share_the_hidden_layer(alpha):
    layer = OctaveSqueezeExcitation(32, alpha, 4)
    high = paddle.randn([1, 24 if alpha else 32, 7, 5])
    low = paddle.randn([1, 8, 4, 3]) if alpha else None
    groups = [group for group in (high, low) if group is not None]
    means = np.concatenate([group.numpy().mean((2, 3)) for group in groups], axis=1)
    y = layer((high, low))
    assert (y[1] is None) == (low is None)
    for got, group, second in zip(y, groups, (layer.fc2_h, layer.fc2_l)):
        gates = naive(means, layer.fc1, second)
        np.testing.assert_allclose(got.numpy(), group.numpy() * gates[:, :, None, None], rtol=1e-5, atol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="channels must be a positive integer"):
        SqueezeExcitation(0)
    with pytest.raises(ValueError, match="SqueezeExcitation expects input"):
        SqueezeExcitation(8)(paddle.randn([1, 4, 2, 2]))
