"""GhostConv2D: half of the features by convolution, the others from those by cheap depthwise filters."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn

from ..utils.numbers import as_size
from .arguments import Attr, layer_arguments
from .conv import Conv2D, check_channels
from .norm import BatchNorm2D


class GhostConv2D(nn.Layer):
    """Ghost module (GhostNet, arXiv 1911.11907, Sec. 3.1), in place of a convolution.

    ceil(out_channels / ratio) intrinsic maps come from a convolution; each gives ratio - 1 ghosts by a depthwise
    filter, and both are concatenated and cropped to out_channels. As in the authors' module each half has its own
    BatchNorm and ReLU.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias_attr: of the convolution;
            groups must divide the number of intrinsic maps too.
        ratio: maps for each intrinsic one (s in the paper), at least 2.
        dw_size: side of the depthwise filters (d in the paper), odd.
        relu: False leaves the two ReLUs out, as the authors do in front of a residual sum.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, OH, OW] as nn.Conv2D.

    Raises:
        ValueError: ratio below 2, an even dw_size, or channels that cannot be grouped.
    """

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias_attr: Attr = False,
        ratio: int = 2,
        dw_size: int = 3,
        relu: bool = True,
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels, groups)
        as_size(ratio, "GhostConv2D: ratio", minimum=2, note=" (1 is the plain convolution)")
        as_size(dw_size, "GhostConv2D: dw_size", odd=True)
        intrinsic = math.ceil(out_channels / ratio)
        if intrinsic % groups:
            raise ValueError(
                f"GhostConv2D: groups={groups} must divide the intrinsic maps, ceil(out_channels / ratio) = "
                f"ceil({out_channels} / {ratio}) = {intrinsic}; choose another group count or width"
            )
        self.out_channels = out_channels
        conv = Conv2D(in_channels, intrinsic, kernel_size, stride, padding, dilation, groups, bias_attr)
        self.primary_conv = _with_norm(conv, intrinsic, relu)
        ghosts = intrinsic * (ratio - 1)
        cheap = Conv2D(intrinsic, ghosts, dw_size, padding=dw_size // 2, groups=intrinsic)
        self.cheap_operation = _with_norm(cheap, ghosts, relu)

    def forward(self, x: Tensor) -> Tensor:
        intrinsic = self.primary_conv(x)
        return paddle.concat([intrinsic, self.cheap_operation(intrinsic)], axis=1)[:, : self.out_channels]


def _with_norm(conv: Conv2D, channels: int, relu: bool) -> nn.Sequential:
    return nn.Sequential(conv, BatchNorm2D(channels), *([nn.ReLU()] if relu else []))
