"""OctConv3D: frame by frame it is OctConv2D, and in time a sum over shifted frames."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.layers import OctConv2D, OctConv3D, OctConv3DBNAct


def clip(split, frames, size):
    """A pair of random groups; a missing one is None."""
    half = [(side + 1) // 2 for side in size]
    shapes = [[1, width, frames, *sides] for width, sides in zip(split, (size, half))]
    return tuple(paddle.randn(shape) if shape[1] else None for shape in shapes)


def frame(x, t):
    return tuple(None if group is None else group[:, :, t] for group in x)


def assert_close(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alphas", [(0.5, 0.5), (0.0, 0.25), (0.25, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
def test_a_video_is_its_frames(alphas, stride, size):
    conv = OctConv3D(8, 12, (1, 3, 3), *alphas, stride=stride, bias_attr=True)
    flat = OctConv2D(8, 12, 3, *alphas, stride=stride, padding=1, bias_attr=True)
    flat.set_state_dict({k: v.squeeze(2) if v.ndim == 5 else v for k, v in conv.state_dict().items()})
    x = clip(conv.in_split, 3, size)
    y = conv(x)
    for t in range(3):
        assert_close(frame(y, t), flat(frame(x, t)))


def test_time_is_a_sum_over_shifted_frames():
    conv = OctConv3D(6, 6, (3, 1, 1), 0.5, 0.5)
    x = clip(conv.in_split, 4, (5, 6))
    expected = None
    for tap in range(3):
        flat = OctConv3D(6, 6, (1, 1, 1), 0.5, 0.5)
        flat.set_state_dict({k: v[:, :, tap : tap + 1] for k, v in conv.state_dict().items()})
        shift = [paddle.concat([paddle.zeros_like(g[:, :, :1]), g, paddle.zeros_like(g[:, :, :1])], 2) for g in x]
        part = flat(tuple(group[:, :, tap : tap + 4] for group in shift))
        expected = part if expected is None else tuple(a + b for a, b in zip(expected, part))
    assert_close(conv(x), expected)


def test_weights_are_those_of_one_convolution():
    for alpha in (0.0, 0.125, 0.5, 1.0):
        conv = OctConv3D(16, 24, (3, 3, 3), alpha, alpha)
        assert sum(p.size for p in conv.parameters()) == 16 * 24 * 27


def test_norm_of_each_group_and_gradients():
    unit = OctConv3DBNAct(4, 8, (3, 3, 3), alpha_in=0.0, alpha_out=0.5, stride=2)
    high, low = unit(paddle.randn([2, 4, 3, 9, 7]))
    assert (high.shape, low.shape) == ([2, 4, 3, 5, 4], [2, 4, 3, 3, 2])
    assert float(high.min()) == float(low.min()) == 0
    (high.mean() + low.mean()).backward()
    assert all(p.grad is not None for p in unit.parameters() if not p.stop_gradient)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 3}, "stride must be 1 or 2"),
        ({"kernel_size": (2, 3, 3)}, "three odd integers"),
        ({"kernel_size": (3, 3)}, "three odd integers"),
        ({"alpha_in": 2}, r"alpha must lie in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        OctConv3D(4, 4, **{"kernel_size": (1, 1, 1), **arguments})


def test_bad_inputs_are_named():
    conv = OctConv3D(4, 4, (1, 1, 1))
    with pytest.raises(ValueError, match="low group must have 2 channels, got none"):
        conv(paddle.randn([1, 2, 2, 4, 4]))
    with pytest.raises(ValueError, match=r"expects \[N, 2, T, H, W\]"):
        conv((paddle.randn([1, 2, 4, 4]), paddle.randn([1, 2, 2, 2])))
    with pytest.raises(ValueError, match=r"needs a low group of \[2, 3, 2\]"):
        conv((paddle.randn([1, 2, 2, 5, 4]), paddle.randn([1, 2, 2, 2, 2])))
