"""Residual blocks with a conv slot, and the slot itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..layers import DeformableConv2D, SqueezeExcitation, build_conv
from ..layers.conv import Conv2D
from ..layers.deformable import offset_branch
from ..layers.norm import BatchNorm2D, norm_act


class ConvSlots:
    """Which convolutions of a residual block a method replaces.

    Every method takes the k x k slots. Versatile filters also take the stem, and with delta > 0 the 1x1 convolutions of
    the blocks (the papers' v1 and v2); all others leave those plain.

    Args:
        bias_attr: of the convolutions that can have a bias; False where a BatchNorm follows.
        kwargs: the method's own arguments.
    """

    def __init__(self, method: str = "plain", bias_attr: bool | None = False, **kwargs: Any) -> None:
        self.method, self.bias_attr, self.kwargs = method, bias_attr, kwargs

    def spatial(self, in_channels: int, out_channels: int, stride: int, dilation: int, groups: int = 1) -> nn.Layer:
        """A 3x3 slot that keeps the size at stride 1."""
        return build_conv(
            self.method, in_channels, out_channels, 3, stride, dilation, dilation, groups, self.bias_attr, **self.kwargs
        )

    def pointwise(self, in_channels: int, out_channels: int, stride: int = 1) -> nn.Layer:
        """A 1x1 slot: block entry, exit or shortcut."""
        if self.method == "versatile" and self.kwargs.get("delta", 0):
            return build_conv("versatile", in_channels, out_channels, 1, stride, 0, bias_attr=False, **self.kwargs)
        return Conv2D(in_channels, out_channels, 1, stride)

    def stem(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Layer:
        """The first convolution."""
        if self.method in ("versatile", "learned_versatile"):
            own = {"bias_attr": self.bias_attr, **self.spatial_only}
            return build_conv(self.method, in_channels, out_channels, kernel_size, stride, **own)
        return Conv2D(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias_attr=self.bias_attr)

    @property
    def spatial_only(self) -> dict[str, Any]:
        """The method's arguments without those by which versatile filters vary along the channels."""
        return {k: v for k, v in self.kwargs.items() if k not in ("delta", "g", "channel_mode")}


@dataclass(frozen=True)
class Variant:
    """What later networks changed in the bottleneck block; the default is ResNet's.

    Attributes:
        groups, width_per_group: ResNeXt's 32x4d: the 3x3 convolution has ``groups`` groups, each of
            ``width_per_group`` channels where the first stage has 64 (arXiv 1611.05431, Table 1).
        squeeze: squeeze-and-excitation before the sum with the shortcut (arXiv 1709.01507, Fig. 3).
        pooled_shortcut: ResNet-D's: a strided shortcut averages 2x2 pixels, and its convolution reads all of them
            (arXiv 1812.01187, Fig. 2c). Octave networks pool in front of every stride anyway.
        stride_last: the stride is that of the last 1x1 convolution ("v1e" of the octave authors' code, for octave
            networks alone).
        input_norm: a normalisation without parameters before the first convolution and the projection (that code's
            networks with squeeze-and-excitation, octave as well).
    """

    groups: int = 1
    width_per_group: int = 64
    squeeze: bool = False
    pooled_shortcut: bool = False
    stride_last: bool = False
    input_norm: bool = False

    def width(self, channels: int) -> int:
        """Channels of the 3x3 convolution of a block whose output has 4 * ``channels``."""
        return channels * self.width_per_group // 64 * self.groups

    def refuse(self, names: tuple[str, ...], network: str) -> None:
        """Raise ValueError if one of the named changes, which ``network`` does not have, is asked for."""
        for name in names:
            if getattr(self, name) != getattr(Variant, name):
                raise ValueError(f"{network} has no variant with {name}={getattr(self, name)!r}")


def shortcut(
    slots: ConvSlots, in_channels: int, out_channels: int, stride: int, pooled: bool = False
) -> nn.Layer | None:
    """The projection shortcut (1x1 and BN, behind ResNet-D's pooling), or None where the identity fits."""
    if stride == 1 and in_channels == out_channels:
        return None
    pool = []
    if pooled and stride > 1:
        pool, stride = [nn.AvgPool2D(stride, stride, ceil_mode=True)], 1
    return nn.Sequential(*pool, slots.pointwise(in_channels, out_channels, stride), BatchNorm2D(out_channels))


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions, both in the slot: [N, in, H, W] -> [N, channels, OH, OW].

    Args:
        stride: of the first one.
        dilation: of both, unless ``first_dilation`` says otherwise for the first one.
    """

    expansion = 1

    def __init__(
        self,
        slots: ConvSlots,
        in_channels: int,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = slots.spatial(in_channels, channels, stride, first_dilation or dilation)
        self.bn1 = BatchNorm2D(channels)
        self.conv2 = slots.spatial(channels, channels, 1, dilation)
        self.bn2 = BatchNorm2D(channels)
        self.downsample = shortcut(slots, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        return norm_act(self.bn2, self.conv2(y), x if self.downsample is None else self.downsample(x))


class Bottleneck(nn.Layer):
    """1x1, 3x3 in the slot (which carries the stride), 1x1: [N, in, H, W] -> [N, 4 * channels, OH, OW]."""

    expansion = 4

    def __init__(
        self,
        slots: ConvSlots,
        in_channels: int,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        variant: Variant | None = None,
    ) -> None:
        super().__init__()
        variant = variant or Variant()
        width, out_channels = variant.width(channels), channels * self.expansion
        self.conv1 = slots.pointwise(in_channels, width)
        self.bn1 = BatchNorm2D(width)
        self.conv2 = slots.spatial(width, width, stride, dilation, variant.groups)
        self.bn2 = BatchNorm2D(width)
        self.conv3 = slots.pointwise(width, out_channels)
        self.bn3 = BatchNorm2D(out_channels)
        self.downsample = shortcut(slots, in_channels, out_channels, stride, variant.pooled_shortcut)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        y = norm_act(self.bn2, self.conv2(y))
        return norm_act(self.bn3, self.conv3(y), x if self.downsample is None else self.downsample(x))


class DeformableBottleneck(Bottleneck):
    """Bottleneck with a deformable 3x3 convolution, whose offsets come from the block's input: the sampling article's
    dense baseline for detection.
    """

    def __init__(self, slots: ConvSlots, in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(slots, in_channels, channels, stride, dilation)
        self.conv2 = DeformableConv2D(channels, channels, stride, dilation)
        self.conv2_offset = offset_branch(in_channels, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        y = norm_act(self.bn2, self.conv2(y, self.conv2_offset(x)))
        return norm_act(self.bn3, self.conv3(y), x if self.downsample is None else self.downsample(x))


class SEBottleneck(Bottleneck):
    """Bottleneck whose channels are gated before the sum with the shortcut."""

    def __init__(self, slots: ConvSlots, in_channels: int, channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(slots, in_channels, channels, *args, **kwargs)
        self.se = SqueezeExcitation(channels * self.expansion)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        y = norm_act(self.bn2, self.conv2(y))
        y = self.se(self.bn3(self.conv3(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class StemBottleneck(Bottleneck):
    """The strided bottleneck that takes the place of max pooling in the octave authors' "v1f" (that of Big-Little Net,
    arXiv 1807.03848): [N, in, H, W] -> [N, 2 * channels, OH, OW].
    """

    expansion = 2
