"""CARAFE against loops over pixels and taps, and what its softmax promises."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.layers import CARAFEUpsample2D

from ..oracles import check_gradients, conv2d, random, tensor, to_float64


def build(channels=3, **options) -> CARAFEUpsample2D:
    """A float64 layer whose kernels differ from pixel to pixel."""
    layer = to_float64(CARAFEUpsample2D(channels, compressed_channels=4, **options))
    layer.content_encoder.weight.set_value(random(*layer.content_encoder.weight.shape, seed=3))
    layer.content_encoder.bias.set_value(random(*layer.content_encoder.bias.shape, seed=4))
    return layer


def by_loops(layer: CARAFEUpsample2D, x: np.ndarray) -> np.ndarray:
    """The kernel of an output pixel from the logits of the pixel it comes from, then a sum over the window."""
    k, s = layer.kernel_size, layer.scale
    batch, channels, height, width = x.shape
    compress, encode = layer.channel_compressor, layer.content_encoder
    logits = conv2d(x, compress.weight.numpy(), compress.bias.numpy())
    logits = conv2d(logits, encode.weight.numpy(), encode.bias.numpy(), padding=encode.weight.shape[2] // 2)
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    y = np.zeros((batch, channels, s * height, s * width))
    for row in range(s * height):
        for column in range(s * width):
            i, j, pixel = row // s, column // s, (row % s) * s + column % s
            weights = np.exp(logits[:, pixel :: s * s, i, j])
            weights /= weights.sum(1, keepdims=True)
            for t in range(k * k):
                y[:, :, row, column] += weights[:, t, None] * padded[:, :, i + t // k, j + t % k]
    return y


@pytest.mark.parametrize(
    ("size", "options"),
    [((4, 5), {}), ((3, 2), {"scale": 3, "kernel_size": 3}), ((1, 4), {"scale": 1, "encoder_kernel_size": 1})],
)
def test_equals_loops(size, options):
    layer, x = build(**options), random(2, 3, *size)
    np.testing.assert_allclose(layer(tensor(x)).numpy(), by_loops(layer, x), rtol=1e-10, atol=1e-10)


def test_gradients():
    layer, x = build(channels=2, kernel_size=3), tensor(random(1, 2, 3, 4), grad=True)
    weight = tensor(random(1, 2, 6, 8, seed=5))
    check_gradients(lambda: (layer(x) * weight).sum(), [x, *layer.parameters()])


def test_new_layer_averages_the_window_and_keeps_a_constant():
    layer = CARAFEUpsample2D(8)
    y = layer(paddle.ones([1, 8, 9, 11]))
    assert y.shape == [1, 8, 18, 22]
    np.testing.assert_allclose(y[:, :, 4:14, 4:18].numpy(), 1.0, atol=1e-5)  # weights sum to 1
    np.testing.assert_allclose(y[:, :, 0, 0].numpy(), 9 / 25, atol=0.02)  # 9 of 25 taps lie inside


def test_cost_and_parameters_of_the_paper():
    """The paper's overhead: 2 (C_i + 1) C_m + 2 (C_m k_encoder^2 + 1) s^2 k_up^2 + 2 s^2 k_up^2 C_i FLOPs a pixel."""
    layer = CARAFEUpsample2D(256)
    counted = ppeffconv.profile(layer, (256, 5, 7))
    assert counted.macs == 35 * (256 * 64 + 64 * 9 * 100 + 100 * 256)
    assert counted.params == 257 * 64 + (64 * 9 + 1) * 100
    assert set(layer.state_dict()) == {
        f"{name}.{kind}" for name in ("channel_compressor", "content_encoder") for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be an odd positive integer, got 4"),
        ({"encoder_kernel_size": 0}, "encoder_kernel_size must be an odd positive integer, got 0"),
        ({"scale": 1.5}, "scale must be a positive integer, got 1.5"),
        ({"compressed_channels": 0}, "must be a positive integer, got 0"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        CARAFEUpsample2D(4, **options)


def test_wrong_input_is_explained():
    with pytest.raises(ValueError, match=r"CARAFEUpsample2D expects input \[N, 4, H, W\], got \[1, 3, 2, 2\]"):
        CARAFEUpsample2D(4)(paddle.ones([1, 3, 2, 2]))
