"""Nested versatile convolution in plain Paddle: a kernel and its centre crops, one convolution each."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor

from .conv2d import conv2d
from .primitives import crop2d, shape_of


def nested_filters(kernel_size: tuple[int, int]) -> int:
    """How many filters a kernel holds: itself and every centre crop that is left when a ring of taps is taken off."""
    return math.ceil(min(kernel_size) / 2)


def centre(
    x: Tensor, weight: Tensor, crop: int, padding: tuple[int, int], dilation: tuple[int, int]
) -> tuple[Tensor, Tensor, list[int]]:
    """Input, kernel without its ``crop`` outer rings, and the padding that keeps its centre in place.

    Where less than no padding is left, the input is cropped instead.
    """
    if crop == 0:
        return x, weight, list(padding)
    kh, kw = weight.shape[2:]
    margins = [pad - crop * step for pad, step in zip(padding, dilation)]
    top, left = (max(-margin, 0) for margin in margins)
    if top or left:
        height, width = shape_of(x)[2:]
        x = crop2d(x, top, left, height - 2 * top, width - 2 * left)
    return x, weight[:, :, crop : kh - crop, crop : kw - crop], [max(margin, 0) for margin in margins]


def nested_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Shapes as in `ppeffconv.ops.nested_conv2d`."""
    outputs = []
    for crop in range(nested_filters(weight.shape[2:])):
        window, kernel, margin = centre(x, weight, crop, padding, dilation)
        outputs.append(conv2d(window, kernel, None, stride, margin, dilation, groups, backend="reference"))
    return paddle.concat(outputs, axis=1)
