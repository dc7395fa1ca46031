"""Deformable convolution (arXiv 1703.06211), and the sampled bottleneck that has one, as in the sampling article."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor, nn
from paddle.vision.ops import DeformConv2D

from .arguments import layer_arguments
from .conv import Conv2D, check_channels, kaiming_fan_out, pair, zero_bias
from .norm import norm_act
from .sampling import SampledBottleneck


class DeformableConv2D(DeformConv2D):
    """3x3 convolution whose taps are moved, each by its own (dy, dx) at every output, and read between pixels.

    ``y[o, p] = sum_t w[o, :, t] x(stride * p + dilation * offset_t + d_t[p])`` with bilinear interpolation and zeros
    outside; the first version, one group of offsets, no bias, Kaiming weights. With offsets 0 it is a convolution.

    Args:
        in_channels, out_channels, stride, dilation: as in `Conv2D`; the padding is the dilation, which keeps the size.

    Shapes:
        x: [N, in, H, W]; offset: [N, 18, OH, OW] in pixels, (dy, dx) of tap 0, of tap 1, ..., taps row by row.
        returns [N, out, OH, OW], OH = ceil(H / stride).
    """

    @layer_arguments
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> None:
        check_channels(in_channels, out_channels)
        stride, dilation = list(pair(stride, "stride")), list(pair(dilation, "dilation"))
        weight = kaiming_fan_out([out_channels, in_channels, 3, 3])
        super().__init__(in_channels, out_channels, 3, stride, dilation, dilation, weight_attr=weight, bias_attr=False)


def offset_branch(in_channels: int, stride: int = 1, dilation: int = 1) -> Conv2D:
    """3x3 convolution that predicts the offsets of a deformable one of that stride and dilation; starts at 0."""
    branch = Conv2D(in_channels, 18, 3, stride, padding=dilation, dilation=dilation, bias_attr=zero_bias())
    nn.initializer.Constant(0.0)(branch.weight)
    return branch


class DeformableSampledBottleneck(SampledBottleneck):
    """`SampledBottleneck` with a deformable conv2, whose offsets are predicted from the block's input.

    Offsets are needed where conv2 is computed, so they are counted at its density. Arguments and shapes are those of
    `SampledBottleneck`; the state dict has ``conv2_offset.weight`` and ``conv2_offset.bias`` besides, as the authors'.
    """

    masked_convs = (("conv1",), ("conv2", "conv2_offset", "conv3"))
    decisions = (*SampledBottleneck.decisions, "conv2_offset")

    @layer_arguments
    def __init__(self, in_channels: int, channels: int, stride: int = 1, dilation: int = 1, **kwargs) -> None:
        super().__init__(in_channels, channels, stride, dilation=dilation, **kwargs)
        self.conv2 = DeformableConv2D(channels, channels, stride, dilation)
        self.conv2_offset = offset_branch(in_channels, stride, dilation)

    def forward(self, x: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        mask1, mask2 = self._sample(x, noise)
        a = self._fill(norm_act(self.bn1, self.conv1(x)), mask1, "conv1")
        b = self._fill(norm_act(self.bn2, self.conv2(a, self.conv2_offset(x))), mask2, "conv2")
        shortcut = x if self.downsample is None else self.downsample(x)
        return norm_act(self.bn3, self.conv3(b), shortcut)
