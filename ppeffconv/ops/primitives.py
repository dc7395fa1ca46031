"""Cropping, padding and pooling written with the Paddle ops that are fast on CPU, forwards and backwards.

The obvious spellings are not (Paddle 3.3.1). The gradient of a slice is a strided copy that takes 10 to 30 times as
long as that of `paddle.crop`; four-number padding takes 12 times as long as eight-number padding; the gradient of
``mean([2, 3])`` 20 times as long as that of average pooling; a bias [1, C, 1, 1] 4 times as long as one expanded to
[N, C, 1, 1]; and ``scale * x`` with a broadcast scale in front 3 times as long as ``x * scale``.

`paddle.crop` has no second derivative. Where plain Paddle is asked for, by ``PPEFFCONV_OPS=reference``, slices take its
place, which have one.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.jit import not_to_static

from . import loader

FLOATS = frozenset({paddle.float16, paddle.bfloat16, paddle.float32, paddle.float64})
_CROP_DTYPES = (paddle.float32, paddle.float64)  # the crop op has no half-precision kernels


def is_float(value: object) -> bool:
    """Whether it is a tensor of a floating type; `paddle.is_floating_point` takes as long as a small kernel."""
    return hasattr(value, "stop_gradient") and value.dtype in FLOATS


def crop2d(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """x[:, :, top : top + height, left : left + width] of a [N, C, H, W] tensor."""
    if has_size(x, height, width):
        return x
    if _takes_crop(x, height, width):
        return paddle.crop(x, shape=[-1, -1, height, width], offsets=[0, 0, top, left])
    return x[:, :, top : top + height, left : left + width]


def channels(x: Tensor, start: int, count: int) -> Tensor:
    """x[:, start : start + count] of a [N, C, H, W] tensor."""
    if x.shape[1] == count:
        return x
    if _takes_crop(x):
        return paddle.crop(x, shape=[-1, count, -1, -1], offsets=[0, start, 0, 0])
    return x[:, start : start + count]


@not_to_static
def shape_of(x: Tensor) -> list[int | Tensor]:
    """The shape of ``x``; in a traced program with a tensor for each size that is not known."""
    return [side if side >= 0 else paddle.shape(x)[axis] for axis, side in enumerate(x.shape)]


@not_to_static
def has_size(x: Tensor, *size: int | Tensor) -> bool:
    """Whether a [N, C, H, W] tensor is known to be of this height and width."""
    return all(isinstance(side, int) for side in size) and list(x.shape[2:]) == list(size)


@not_to_static
def _takes_crop(x: Tensor, *size: int | Tensor) -> bool:
    """Whether `paddle.crop` can, and may, take the place of a slice; to an empty batch it gives a negative size."""
    plain = paddle.in_dynamic_mode() and loader.mode() == "reference"
    known = all(isinstance(side, int) for side in size)
    return x.dtype in _CROP_DTYPES and x.shape[0] != 0 and known and not plain


def pad2d(x: Tensor, pad: int) -> Tensor:
    """Zero padding by ``pad`` on all four sides of a [N, C, H, W] tensor."""
    return F.pad(x, [0, 0, 0, 0, pad, pad, pad, pad]) if pad else x


def subsample2d(x: Tensor, stride: int) -> Tensor:
    """x[:, :, ::stride, ::stride] of a [N, C, H, W] tensor."""
    return x if stride == 1 else F.avg_pool2d(x, kernel_size=1, stride=stride)


def global_mean(x: Tensor) -> Tensor:
    """Mean over H and W: [N, C, H, W] -> [N, C, 1, 1]."""
    return F.adaptive_avg_pool2d(x, 1)


def add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """x + bias per channel: [N, C, H, W] and [C] (or None)."""
    if bias is None:
        return x
    return x + bias.reshape([1, -1, 1, 1]).expand([x.shape[0], -1, -1, -1])
