"""The exchange between the two resolutions of octave convolution in plain Paddle (arXiv 1904.05049, Eq. 4)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from .primitives import crop2d, shape_of


def octave_pool(x: Tensor) -> Tensor:
    """2x2 average pooling with ceil; border windows average what exists."""
    return F.avg_pool2d(x, 2, 2, ceil_mode=True, exclusive=True)


def octave_upsample(low: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Repeat each pixel 2 x 2 and crop: a nearest resize that also fits odd sizes.

    Stacking is exact and faster here than F.interpolate, which Paddle Inference cannot run with oneDNN on.
    """
    channels, rows, columns = shape_of(low)[1:]
    wide = paddle.stack([low, low], axis=-1).reshape([-1, channels, rows, 2 * columns])
    full = paddle.stack([wide, wide], axis=3).reshape([-1, channels, 2 * rows, 2 * columns])
    return full if size is None else crop2d(full, 0, 0, *size)


def octave_upsample_add(high: Tensor, low: Tensor) -> Tensor:
    """high + nearest-x2(low), cropped to the size of ``high``."""
    return high + octave_upsample(low, shape_of(high)[2:])
