"""The plain convolution of every model here, its initialisation, and argument checks that all layers share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from paddle import ParamAttr, Tensor, nn
from paddle.jit import not_to_static

from ..ops import conv2d
from ..ops.conv2d import pair
from ..utils.numbers import as_size
from .arguments import Attr, bias_attribute, layer_arguments


def check_channels(in_channels: int, out_channels: int, groups: int = 1) -> None:
    """Raise ValueError unless both channel counts are positive and ``groups`` divides them."""
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
        as_size(value, name)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}; "
            "choose another group count or width"
        )


def check_input(x: Tensor, channels: int, layer: str) -> None:
    """Raise ValueError unless ``x`` is a [N, channels, H, W] tensor of a floating type."""
    if not isinstance(x, Tensor) and not hasattr(x, "ndim"):
        raise ValueError(f"{layer} expects a Tensor [N, {channels}, H, W], got {type(x).__name__}")
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"{layer} expects input [N, {channels}, H, W], got {list(x.shape)}")
    if "float" not in str(x.dtype):
        raise ValueError(f"{layer} expects a floating-point input, got {x.dtype}; divide images by 255 first")


@not_to_static  # numbers of the layer: nothing to trace
def symmetric_padding(layer: nn.Conv2D) -> tuple[int, int] | None:
    """The padding (height, width) of a convolution of Paddle, None unless it is alike on opposite sides for all sizes.

    "SAME" is with a stride of 1 and an odd kernel; Paddle then takes no notice of a dilation, so that one with a
    dilation is not what it seems.
    """
    padding = paddings(layer)
    if padding == "SAME":
        plain = list(layer._stride) == list(layer._dilation) == [1, 1] and all(k % 2 for k in layer._kernel_size)
        return tuple((k - 1) // 2 for k in layer._kernel_size) if plain else None
    top, bottom, left, right = padding
    return (top, left) if top == bottom and left == right else None


def paddings(layer: nn.Conv2D) -> str | tuple[int, int, int, int]:
    """The padding (top, bottom, left, right) of a convolution of Paddle, or "SAME", which depends on the size."""
    if layer._padding_algorithm == "SAME":
        return "SAME"
    padding = layer._updated_padding
    padding = [padding] * 4 if isinstance(padding, int) else [int(size) for size in padding]
    return tuple(padding if len(padding) == 4 else (size for size in padding for _ in range(2)))


def square(value: int | Sequence[int], name: str, layer: str, largest: int | None = None) -> int:
    """Return the number of both directions, given once or twice; ValueError if they differ or pass ``largest``."""
    vertical, horizontal = pair(value, name)
    if vertical != horizontal or (largest and vertical > largest):
        allowed = "the same in both directions" if largest is None else " or ".join(map(str, range(1, largest + 1)))
        raise ValueError(f"{layer}: {name} must be {allowed}, got {value!r}")
    return vertical


def kaiming_fan_out(shape: list[int]) -> ParamAttr:
    """Kaiming normal (fan out, ReLU) for a weight [out, in / groups, kh, kw], as the papers' code initialises."""
    return ParamAttr(initializer=nn.initializer.Normal(0.0, math.sqrt(2.0 / (shape[0] * shape[2] * shape[3]))))


def fan_in_uniform(fan_in: int) -> ParamAttr:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the bias initialisation that the authors' framework applies by default."""
    bound = 1.0 / math.sqrt(fan_in)
    return ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))


def zero_bias() -> ParamAttr:
    """A bias that starts at 0."""
    return ParamAttr(initializer=nn.initializer.Constant(0.0))


class Conv2D(nn.Conv2D):
    """Convolution [N, in, H, W] -> [N, out, OH, OW] with Kaiming fan-out weights and, by default, no bias.

    Args:
        bias_attr: False for no bias; without an initializer (None, True) it is drawn from U(+-1/sqrt(fan_in)).
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
        bias_attr: Attr = False,
    ) -> None:
        check_channels(in_channels, out_channels, groups)
        kernel = pair(kernel_size, "kernel_size")
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride=pair(stride, "stride"),
            padding=pair(padding, "padding", minimum=0),
            dilation=pair(dilation, "dilation"),
            groups=groups,
            weight_attr=kaiming_fan_out([out_channels, in_channels // groups, *kernel]),
            bias_attr=bias_attribute(bias_attr, fan_in_uniform(in_channels // groups * kernel[0] * kernel[1])),
        )
        self._channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self._channels, "Conv2D")
        return conv2d(x, self.weight, self.bias, self._stride, self._padding, self._dilation, self._groups)
