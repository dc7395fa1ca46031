"""What octave networks beside ResNet put between their convolutions: layers on pairs (high, low).

A pair without a low group leaves them as one tensor, which is what the deploy form of the layer behind them takes.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..utils.numbers import as_size, plain_arguments
from .arguments import layer_arguments
from .conv import check_input
from .norm import BatchNorm2D, norm_act
from .octave import OctConv2D, OctConvBNAct, Pair, downsample2, lone_group, octave_map, octave_merge


class OctaveMerge(nn.Layer):
    """Pair of groups to one tensor [N, C_h + C_l, H, W], at the end of the layers that pass pairs on."""

    def __init__(self) -> None:
        super().__init__()
        self.join = _Join()

    def forward(self, x: Pair) -> Tensor:
        return self.join(*(group for group in x if group is not None))


class _Join(nn.Layer):
    """High and low group, or a lone one: `paddle.flops` asks what the innermost layers take for its shape."""

    def forward(self, high: Tensor, low: Tensor | None = None) -> Tensor:
        return octave_merge((high, low))


class OctaveNormAct(nn.Layer):
    """BatchNorm and ReLU of each group, in front of a convolution: pair or tensor -> the same.

    Args:
        split: widths of the groups (high, low); 0 for none.
    """

    @plain_arguments
    def __init__(self, split: tuple[int, int]) -> None:
        super().__init__()
        high, low = (as_size(width, "OctaveNormAct: a width of split", minimum=0) for width in split)
        self.bn_h = BatchNorm2D(high) if high else None
        self.bn_l = BatchNorm2D(low) if low else None

    def forward(self, x: Tensor | Pair) -> Tensor | Pair:
        groups = zip(x if isinstance(x, (tuple, list)) else (x, None), (self.bn_h, self.bn_l))
        return lone_group(tuple(None if group is None else norm_act(norm, group) for group, norm in groups))


class OctConvBNReLU6(OctConvBNAct):
    """OctConvBNAct with ReLU6 (MobileNetV2's) in place of ReLU; arguments as there, but ``act``."""

    @layer_arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **kwargs) -> None:
        super().__init__(in_channels, out_channels, kernel_size, act=False, **kwargs)

    def forward(self, x: Tensor | Pair) -> Tensor | Pair:
        return lone_group(octave_map(F.relu6, super().forward(x)))


class OctaveAvgPool2D(nn.Layer):
    """2x2 average pooling of both groups, with ceil, so that the low one stays at half the size of the high one."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = _Halve()

    def forward(self, x: Pair) -> Pair:
        return octave_map(self.pool, x)


class _Halve(nn.Layer):
    """The pooling of one group; see `_Join`."""

    def forward(self, x: Tensor) -> Tensor:
        return downsample2(x)


class TensorOctConv2D(nn.Layer):
    """OctConv2D from tensor to tensor, for networks that know no pairs.

    The last int(alpha * in_channels) channels of the input are pooled by 2 to be the low group; the low group of the
    output is upsampled and concatenated again.

    Args:
        alpha: share of low-frequency channels of input and output, in [0, 1).
        kwargs: the others of `OctConv2D`.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, ceil(H / stride), ceil(W / stride)]
    """

    @layer_arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, alpha: float = 0.5, **kwargs) -> None:
        super().__init__()
        self.conv = OctConv2D(in_channels, out_channels, kernel_size, alpha_in=alpha, alpha_out=alpha, **kwargs)
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.in_channels, "TensorOctConv2D")
        if self.conv.in_split[1]:
            high, low = paddle.split(x, list(self.conv.in_split), axis=1)
            x = high, downsample2(low)
        y = octave_merge(self.conv(x))
        # a traced crop forgets the width, for which the next layer asks
        return y if paddle.in_dynamic_mode() else y.reshape([0, sum(self.conv.out_split), 0, 0])
