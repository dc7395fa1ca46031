"""Upsampling by 2, and `build_upsample`, the slot that takes any way of it (the comparison of arXiv 2104.14107)."""

from __future__ import annotations

import inspect

import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn

from .. import ops
from ..registry import Registry, check_names
from ..utils.numbers import plain_arguments
from .arguments import layer_arguments
from .carafe import CARAFEUpsample2D
from .conv import Conv2D, check_channels, check_input, zero_bias
from .ddf import DDFUpsample2D


class NearestUpsample2D(nn.Layer):
    """Repeat each pixel 2 x 2: [N, channels, h, w] -> [N, channels, 2h, 2w]."""

    @plain_arguments
    def __init__(self, channels: int) -> None:
        super().__init__()
        check_channels(channels, channels)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels, "NearestUpsample2D")
        return ops.octave_upsample(x)


class BilinearUpsample2D(nn.Layer):
    """Interpolate between pixel centres: [N, channels, h, w] -> [N, channels, 2h, 2w]."""

    @plain_arguments
    def __init__(self, channels: int) -> None:
        super().__init__()
        check_channels(channels, channels)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels, "BilinearUpsample2D")
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """One per output, as the article's table counts."""
        return outputs.size


class DeconvUpsample2D(nn.Conv2DTranspose):
    """Transposed 3x3 convolution of stride 2: [N, channels, h, w] -> [N, channels, 2h, 2w].

    The weights are N(0, 4 / (9 * channels)): each output sums over a quarter of the taps, so that its variance is that
    of the input.
    """

    @layer_arguments
    def __init__(self, channels: int) -> None:
        check_channels(channels, channels)
        weight = ParamAttr(initializer=nn.initializer.Normal(0.0, (4 / (9 * channels)) ** 0.5))
        super().__init__(
            channels, channels, 3, stride=2, padding=1, output_padding=1, weight_attr=weight, bias_attr=zero_bias()
        )
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels, "DeconvUpsample2D")
        return super().forward(x)


class PixelShuffleUpsample2D(nn.Layer):
    """3x3 convolution to four times the width, whose channels become pixels (arXiv 1609.05158).

    Channel ``4 c + 2 sy + sx`` of the convolution fills output pixel (2y + sy, 2x + sx) of channel c.

    Shapes:
        [N, channels, h, w] -> [N, channels, 2h, 2w]
    """

    @layer_arguments
    def __init__(self, channels: int) -> None:
        super().__init__()
        check_channels(channels, channels)
        self.conv = Conv2D(channels, 4 * channels, 3, padding=1, bias_attr=zero_bias())
        nn.initializer.XavierUniform()(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


UPSAMPLERS = Registry("upsampling")
for _name, _layer in {
    "nearest": NearestUpsample2D,
    "bilinear": BilinearUpsample2D,
    "deconvolution": DeconvUpsample2D,
    "pixel_shuffle": PixelShuffleUpsample2D,
    "carafe": CARAFEUpsample2D,
    "ddf": DDFUpsample2D,
}.items():
    UPSAMPLERS.register(_name)(_layer)


def build_upsample(method: str, channels: int, **kwargs) -> nn.Layer:
    """Build an upsampling [N, channels, h, w] -> [N, channels, 2h, 2w].

    Args:
        method: nearest, bilinear, deconvolution, pixel_shuffle, carafe or ddf.
        kwargs: the method's own arguments (kernel_size, compressed_channels, se_ratio, mode, ...).

    Raises:
        ValueError: an unknown method or argument, or one out of range.
    """
    layer = UPSAMPLERS.get(method)
    fixed = ("self", "channels", "scale", "guide_channels")
    own = [name for name in inspect.signature(layer.__init__).parameters if name not in fixed]
    check_names(kwargs, own, f"upsampling '{method}'")
    return layer(channels, **kwargs)
