"""Sampling in plain Paddle, the forms that read like the paper: a convolution at the sampled positions, and filling in
the others. Every kernel's oracle."""

from __future__ import annotations

import math
from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from .precision import at_least_float32
from .primitives import add_bias, shape_of

Pair = tuple[int, int]
EPS = 1e-5


def sampled_conv2d(
    x: Tensor, weight: Tensor, mask: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """The dense convolution where the mask is true, and zeros."""
    y = add_bias(F.conv2d(x, weight, None, stride, list(padding), dilation), bias)
    return paddle.where(mask, y, paddle.zeros_like(y))


def gaussian_interpolate(features: Tensor, mask: Tensor, sigma: Tensor, window: int) -> Tensor:
    """Interpolation with K(dy, dx) = sigma^2 / (2 pi) exp(-sigma^2 (dy^2 + dx^2) / 2). Shapes as in the public op."""

    def gaussian(distance: Tensor) -> Tensor:
        width = sigma.astype(distance.dtype)
        return width / math.sqrt(2 * math.pi) * paddle.exp(-0.5 * (width * distance) ** 2)

    return _interpolate(features, mask, lambda x: _separable_sum(x, gaussian, window))


def average_interpolate(features: Tensor, mask: Tensor, window: int) -> Tensor:
    """Interpolation by the mean of the sampled neighbours in the window (the article's average pooling)."""
    return _interpolate(features, mask, lambda x: _separable_sum(x, lambda distance: 1 / window, window))


def kernel_interpolate(features: Tensor, mask: Tensor, kernel: Tensor) -> Tensor:
    """Interpolation with the weights ``|kernel|`` [window, window], one kernel for every channel.

    The absolute value keeps the normaliser away from zero (the article's learned kernel).
    """
    window = kernel.shape[0]

    def filtered(x: Tensor) -> Tensor:
        channels = x.shape[1]
        weights = kernel.abs().astype(x.dtype).expand([channels, 1, window, window])
        return F.conv2d(x, weights, padding=window // 2, groups=channels)

    return _interpolate(features, mask, filtered)


def _interpolate(features: Tensor, mask: Tensor, neighbours: Callable[[Tensor], Tensor]) -> Tensor:
    """``M F + (1 - M) R`` with ``R = sum K (F M) / (sum K M + eps)``; ``neighbours`` is the sum weighted by K.

    Computed in float32 or wider, because 1e-5 and its inverse are at the ends of half precision. The mask is expanded
    before each product because Paddle's CPU kernels broadcast over channels several times slower.
    """
    dtype = features.dtype
    features, mask = at_least_float32(features), at_least_float32(mask)
    with paddle.amp.auto_cast(enable=False):
        every = [-1, features.shape[1], -1, -1]  # as `expand_as`, which has no second derivative
        sampled = features * mask.expand(every)
        share = (1 - mask) / (neighbours(mask) + EPS)
        return (sampled + neighbours(sampled) * share.expand(every)).astype(dtype)


def _separable_sum(x: Tensor, weight: Callable[[Tensor], Tensor | float], window: int) -> Tensor:
    """Sum over the window of neighbours weighted by weight(dy) * weight(dx); zeros outside.

    Two products with banded matrices: on CPU about twenty times faster than the depthwise convolution.
    """
    rows, columns = (_band(size, weight, window, x.dtype) for size in shape_of(x)[2:])
    return paddle.matmul(rows, paddle.matmul(x, columns))


def _band(size: int, weight: Callable[[Tensor], Tensor | float], window: int, dtype: paddle.dtype) -> Tensor:
    """[size, size] matrix of weight(|i - j|), zero beyond half a window."""
    position = paddle.arange(size).astype(dtype)
    distance = (position.unsqueeze(1) - position).abs()
    return weight(distance) * (distance <= window // 2).astype(dtype)
