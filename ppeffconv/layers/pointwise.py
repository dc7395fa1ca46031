"""Reading the centres of a k x k convolution's windows, so that a 1x1 branch runs beside it on any padding."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor

from .conv import pair


def centre_margins(
    kernel_size: int | tuple[int, int], padding: int | tuple[int, int], dilation: int | tuple[int, int]
) -> tuple[int, int]:
    """Rows and columns between the input's border and the first window's centre, negative where it lies inside.

    Raises:
        ValueError: an even kernel has no centre pixel.
    """
    kernel, pad, step = pair(kernel_size, "kernel_size"), pair(padding, "padding", 0), pair(dilation, "dilation")
    if any(k % 2 == 0 for k in kernel):
        raise ValueError(f"kernel_size must be odd: the 1x1 branch reads window centres; got {kernel_size}")
    return tuple(p - d * (k - 1) // 2 for k, p, d in zip(kernel, pad, step))


def window_centres(x: Tensor, margins: tuple[int, int]) -> Tensor:
    """Pad or crop [N, C, H, W] so that a 1x1 convolution of the same stride gives the k x k convolution's size."""
    rows, columns = margins
    if rows < 0:
        x = x[:, :, -rows:rows]
    if columns < 0:
        x = x[:, :, :, -columns:columns]
    if rows > 0 or columns > 0:
        x = F.pad(x, [max(columns, 0), max(columns, 0), max(rows, 0), max(rows, 0)])
    return x
