"""The ways of upsampling by 2: values against loops, cost by the article's table, errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.layers import UPSAMPLERS, build_upsample

from ..oracles import conv2d, random, tensor, to_float64, upsample2


def bilinear(x):
    """Halfway between pixel centres: weights 3/4 and 1/4, the border repeated."""

    def along(x, axis):
        size = x.shape[axis]
        before, after = (x.take(np.clip(np.arange(size) + step, 0, size - 1), axis) for step in (-1, 1))
        pairs = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        return pairs.reshape([*x.shape[:axis], 2 * size, *x.shape[axis + 1 :]])

    return along(along(x, 2), 3)


def deconvolution(x, layer):
    """A cross-correlation of the input, spread out by zeros, with the kernel turned over."""
    spread = np.zeros((*x.shape[:2], 2 * x.shape[2] + 2, 2 * x.shape[3] + 2))
    spread[:, :, 1:-1:2, 1:-1:2] = x
    weight = layer.weight.numpy().transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return conv2d(spread, weight, layer.bias.numpy())


def pixel_shuffle(x, layer):
    """Channel 4 c + 2 sy + sx of the convolution goes to pixel (2 y + sy, 2 x + sx)."""
    wide = conv2d(x, layer.conv.weight.numpy(), layer.conv.bias.numpy(), padding=1)
    y = np.zeros((x.shape[0], x.shape[1], 2 * x.shape[2], 2 * x.shape[3]))
    for channel in range(wide.shape[1]):
        y[:, channel // 4, channel % 4 // 2 :: 2, channel % 2 :: 2] = wide[:, channel]
    return y


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("nearest", lambda x, layer: upsample2(x, None, None)),
        ("bilinear", lambda x, layer: bilinear(x)),
        ("deconvolution", deconvolution),
        ("pixel_shuffle", pixel_shuffle),
    ],
)
@pytest.mark.parametrize("size", [(3, 4), (1, 1)])
def test_equals_loops(method, expected, size):
    layer, x = to_float64(build_upsample(method, 3)), random(2, 3, *size)
    for i, parameter in enumerate(layer.parameters()):
        parameter.set_value(random(*parameter.shape, seed=i))
    np.testing.assert_allclose(layer(tensor(x)).numpy(), expected(x, layer), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", ["deconvolution", "pixel_shuffle"])
def test_initialisation_keeps_the_variance(method):
    y = build_upsample(method, 64)(paddle.randn([1, 64, 16, 16]))[:, :, 2:-2, 2:-2].numpy()
    assert 0.6 < y.std() < 1.2


# The three upsamplings of a pyramid of width 256 on 800 x 1280 start from 21,000 pixels (arXiv 2104.14107, Table 5:
# 0, 0.02, 12.57, 50.18, 2.14 and 0.58 G; the authors' image size is not known, and 1 to 2% larger)
PIXELS = 25 * 40 + 50 * 80 + 100 * 160


@pytest.mark.parametrize(
    ("method", "giga"),
    [
        ("nearest", 0),
        ("bilinear", 0.02),
        ("deconvolution", 12.39),
        ("pixel_shuffle", 49.55),
        ("carafe", 2.09),
        ("ddf", 0.58),
    ],
)
def test_cost_is_that_of_the_articles_table(method, giga):
    layer = build_upsample(method, 256)
    few, more = (ppeffconv.profile(layer, (256, 2, pixels // 2)).macs for pixels in (2, 12))
    per_pixel = (more - few) / 10
    per_map = few - 2 * per_pixel
    assert (per_pixel * PIXELS + 3 * per_map) / 1e9 == pytest.approx(giga, abs=0.006)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="unknown upsampling 'caraf'. Did you mean 'carafe'"):
        build_upsample("caraf", 8)
    with pytest.raises(ValueError, match="upsampling 'carafe' has no argument 'scale'"):
        build_upsample("carafe", 8, scale=4)
    for method in UPSAMPLERS.list():
        with pytest.raises(ValueError, match="must be a positive integer, got 0"):
            build_upsample(method, 0)
        with pytest.raises(ValueError, match=r"expects input \[N, 3, H, W\], got \[1, 2, 4, 4\]"):
            build_upsample(method, 3)(paddle.zeros([1, 2, 4, 4]))
