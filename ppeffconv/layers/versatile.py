"""VersatileConv2D: several nested filters cut out of each stored one (NeurIPS 2018, extended in arXiv 2109.09310)."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn

from ..ops import conv2d, nested_conv2d
from ..ops.primitives import add_bias, channels
from ..ops.reference_nested import centre, nested_filters
from ..utils.numbers import is_size
from .arguments import Attr, bias_attribute, layer_arguments
from .conv import check_channels, check_input, fan_in_uniform, kaiming_fan_out, pair

CHANNEL_MODES = ("paper", "reference")


def check_channel_window(delta: int = 0, g: int = 1, channel_mode: str = "paper") -> None:
    """Raise ValueError for arguments that suit no number of channels."""
    if channel_mode not in CHANNEL_MODES:
        raise ValueError(f"VersatileConv2D: channel_mode must be 'paper' or 'reference', got {channel_mode!r}")
    if not is_size(delta, 0):
        raise ValueError(f"VersatileConv2D: delta must lie in [0, in_channels), got {delta!r}")
    if not is_size(g) or delta % g:
        raise ValueError(f"VersatileConv2D: g must be a positive divisor of delta={delta}, got {g!r}")


class VersatileConv2D(nn.Layer):
    """Spatially nested and channel-shifted filters that share one stored kernel.

    Each stored filter [in_channels / groups, kh, kw] yields s = ceil(min(kh, kw) / 2) centre crops and, with
    ``delta > 0``, n = delta / g + 1 windows over its channels: s * n output channels per stored filter. Output channel
    ``((i * n) + j) * F + f`` is filter f, crop i, window j, with F = ceil(out_channels / (s * n)) stored filters; a
    surplus is cut from the last group. A 1x1 kernel with delta 0 is a plain convolution.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation: as in nn.Conv2D, any values.
        groups: must divide F; not together with ``delta``.
        bias_attr: None or True for one bias per output channel, False for none.
        delta: channels that each filter leaves out; 0 shares in space only (v1), 1 is the paper's v2.
        g: stride of the channel window; must divide delta.
        channel_mode: "paper" slides the window over filter and input alike; "reference" applies the filter's first
            in_channels - delta channels to every shifted input, as the authors' code does.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, OH, OW] as of nn.Conv2D.

    Raises:
        ValueError: arguments out of range, channels that cannot be grouped, or an input of another width.
    """

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias_attr: Attr = None,
        delta: int = 0,
        g: int = 1,
        channel_mode: str = "paper",
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride, self.dilation = pair(stride, "stride"), pair(dilation, "dilation")
        self.padding = pair(padding, "padding", minimum=0)
        self._check_channel_window(delta, g, channel_mode)
        self.delta, self.g, self.channel_mode = delta, g, channel_mode

        self.spatial_filters = nested_filters(self.kernel_size)
        self.channel_filters = delta // g + 1
        primaries = math.ceil(out_channels / (self.spatial_filters * self.channel_filters))
        if primaries % groups:
            raise ValueError(
                f"VersatileConv2D: out_channels={out_channels} needs {primaries} stored filters, which groups={groups} "
                "does not divide (a depthwise convolution has nothing to share); use fewer groups"
            )
        shape = [primaries, in_channels // groups, *self.kernel_size]
        self.weight = self.create_parameter(shape, attr=kaiming_fan_out(shape))
        bias = bias_attribute(bias_attr, fan_in_uniform(math.prod(shape[1:])))
        self.bias = None if bias is False else self.create_parameter([out_channels], attr=bias, is_bias=True)

    def _check_channel_window(self, delta: int, g: int, channel_mode: str) -> None:
        check_channel_window(delta, g, channel_mode)
        if delta >= self.in_channels:
            raise ValueError(f"VersatileConv2D: delta must lie in [0, in_channels={self.in_channels}), got {delta!r}")
        if delta and self.groups > 1:
            raise ValueError(
                f"VersatileConv2D: channel sharing (delta={delta}) is not defined for groups={self.groups}; "
                "use delta=0 or groups=1"
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The forward with another weight in place of the layer's own, such as a quantised one."""
        check_input(x, self.in_channels, "VersatileConv2D")
        if self.delta == 0:
            y = nested_conv2d(x, weight, self.stride, self.padding, self.dilation, self.groups)
        else:
            y = self._shifted(x, weight)
        if y.shape[1] != self.out_channels:
            y = channels(y, 0, self.out_channels)
        return add_bias(y, self.bias)

    def _shifted(self, x: Tensor, weight: Tensor) -> Tensor:
        """Every crop over every window of channels."""
        kept = self.in_channels - self.delta
        outputs = []
        for crop in range(self.spatial_filters):
            inner, kernel, padding = centre(x, weight, crop, self.padding, self.dilation)
            for start in range(0, self.delta + 1, self.g):
                first = start if self.channel_mode == "paper" else 0
                window, filters = channels(inner, start, kept), kernel[:, first : first + kept]
                outputs.append(conv2d(window, filters, None, self.stride, padding, self.dilation))
        return paddle.concat(outputs, axis=1)

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of the nested convolutions as computed here (each crop on its own)."""
        kh, kw = self.kernel_size
        taps = sum((kh - 2 * i) * (kw - 2 * i) for i in range(self.spatial_filters))
        per_pixel = self.weight.shape[0] * self.channel_filters * taps * (self.in_channels - self.delta) // self.groups
        return outputs.shape[0] * outputs.shape[2] * outputs.shape[3] * per_pixel
