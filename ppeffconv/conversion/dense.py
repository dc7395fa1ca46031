"""Reading a dense convolution, and the reasons to leave one alone."""

from __future__ import annotations

from paddle import Tensor, nn

from ..accelerate import is_accelerated
from ..layers.conv import Conv2D, symmetric_padding
from ..layers.slot import Slot
from ..layers.untouched import has_hooks
from ..ops.reference_sampling import at_least_float32

IMAGE_CHANNELS = 4
"""A convolution of at most so many input channels reads an image."""
TOO_FEW = f"needs more than the {IMAGE_CHANNELS} channels of an image"


def slot_of(conv: nn.Conv2D) -> Slot:
    """The place of a convolution; ValueError with the reason if another layer could not stand there."""
    kind = type(conv)
    if kind.forward not in (nn.Conv2D.forward, Conv2D.forward):
        raise ValueError(f"{kind.__name__} has a forward of its own")
    if "weight" not in conv._parameters:
        raise ValueError("its weight is computed (weight_norm, spectral_norm): remove that first")
    if has_hooks(conv):
        raise ValueError("has hooks, which would be lost")
    if conv._data_format != "NCHW":
        raise ValueError(f"works in {conv._data_format}; the layers here work in NCHW")
    if conv._padding_mode != "zeros":
        raise ValueError(f"pads by '{conv._padding_mode}'; the layers here pad with zeros")
    padding = symmetric_padding(conv)
    if padding is None:
        raise ValueError(f"needs a padding in numbers that is the same on opposite sides, got {conv._padding!r}")
    return Slot(
        conv._in_channels,
        conv._out_channels,
        tuple(conv._kernel_size),
        tuple(conv._stride),
        padding,
        tuple(conv._dilation),
        conv._groups,
        False if conv.bias is None else None,
    )


def replaced_forward(net: nn.Layer) -> str | None:
    """Name of a layer whose forward was replaced on the instance by a function, which a copy would still share."""
    for name, layer in net.named_sublayers(include_self=True):
        forward = vars(layer).get("forward")
        if forward is not None and not is_accelerated(layer) and getattr(forward, "__self__", None) is not layer:
            return name or type(net).__name__
    return None


def weight_of(conv: nn.Conv2D) -> Tensor:
    """The weight [out, in / groups, kh, kw], in float32 or wider."""
    return at_least_float32(conv.weight)


def put(parameter: Tensor, value: Tensor) -> None:
    """Write a value into a parameter of any float type."""
    parameter.set_value(value.astype(parameter.dtype))


def describe(conv: nn.Conv2D) -> str:
    """For example "Conv2D 64 -> 128, 3x3, stride 2"."""
    height, width = conv._kernel_size
    text = f"{type(conv).__name__} {conv._in_channels} -> {conv._out_channels}, {height}x{width}"
    for word, value, plain in (
        ("stride", conv._stride, [1, 1]),
        ("dilation", conv._dilation, [1, 1]),
        ("groups", [conv._groups] * 2, [1, 1]),
    ):
        if list(value) != plain:
            text += f", {word} {value[0] if value[0] == value[1] else tuple(value)}"
    return text
