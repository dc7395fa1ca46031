"""Padding that a layer cannot say: uneven, or "SAME", around a layer that pads evenly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.jit import not_to_static

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """The windows of a convolution along one axis.

    Attributes:
        extent: of the window, dilation and all.
        even: what the layer pads on both sides.
        before, after: what shall be padded; None for "SAME", where it depends on the size.
    """

    extent: int
    stride: int
    even: int
    before: int | None = None
    after: int | None = None

    @property
    def skipped(self) -> int:
        """Outputs of the layer before the first one that is wanted, for any size."""
        before = max(self.extent - self.stride, 0) // 2 if self.before is None else self.before
        return max(0, -((before - self.even) // self.stride))

    def plan(self, size, largest=max) -> tuple:
        """Zeros to put before and after an axis of this size, and the number of outputs that are wanted.

        The layer's windows begin at ``before - even`` and then every ``stride``; the zeros in front make one of them
        begin where the first wanted one does.
        """
        if self.before is None:
            count = (size + self.stride - 1) // self.stride
            before = largest((count - 1) * self.stride + self.extent - size, 0) // 2
        else:
            before = self.before
            count = (size + before + self.after - self.extent) // self.stride + 1
        front = before - self.even + self.stride * self.skipped
        needed = self.stride * (self.skipped + count - 1) + self.extent
        return front, largest(needed - front - size - 2 * self.even, 0), count


class Padded(nn.Layer):
    """A layer of the geometry of a convolution with even padding, padded as Paddle pads for another ``padding``.

    Every output is that of the same window as in a convolution of Paddle with that padding.

    Args:
        layer: [N, C, H, W] -> [N, O, OH, OW], with ``even`` zeros on both sides.
        kernel_size, stride, dilation: of the layer, (height, width).
        even: its padding (height, width).
        padding: (top, bottom, left, right), or "SAME": Paddle's, whose output has ceil(size / stride) rows.

    Shapes:
        x: [N, C, H, W] -> [N, O, OH, OW], as `paddle.nn.functional.conv2d` with this padding.
    """

    def __init__(
        self,
        layer: nn.Layer,
        kernel_size: Pair,
        stride: Pair,
        dilation: Pair,
        even: Pair,
        padding: str | Sequence[int],
    ) -> None:
        super().__init__()
        self.layer, self.padding = layer, padding
        sides = [(None, None)] * 2 if padding == "SAME" else [tuple(padding[:2]), tuple(padding[2:])]
        extents = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation)]
        self.axes = [Geometry(*axis, *side) for *axis, side in zip(extents, stride, even, sides)]

    def forward(self, x: Tensor) -> Tensor:
        padded, (rows, columns) = self._pad(x)
        y = self.layer(padded)
        top, left = (axis.skipped for axis in self.axes)
        return y[:, :, top : top + rows, left : left + columns]

    @not_to_static  # while a graph is traced no size is known
    def _pad(self, x: Tensor) -> tuple[Tensor, tuple]:
        if paddle.in_dynamic_mode():
            (top, bottom, rows), (left, right, columns) = (
                axis.plan(size) for axis, size in zip(self.axes, x.shape[2:])
            )
            zeros = [left, right, top, bottom]
            return (F.pad(x, zeros) if any(zeros) else x), (rows, columns)
        sizes = paddle.shape(x).astype("int32")
        (top, bottom, rows), (left, right, columns) = (
            axis.plan(sizes[i], lambda value, least: value.clip(min=least)) for i, axis in enumerate(self.axes, start=2)
        )
        zeros = [
            value if hasattr(value, "ndim") else paddle.full([], value, "int32") for value in (left, right, top, bottom)
        ]
        return F.pad(x, paddle.stack(zeros)), (rows, columns)

    def extra_repr(self) -> str:
        """For ``print(net)``."""
        return f"padding={self.padding!r}"
