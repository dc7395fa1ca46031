"""Reading a dense convolution, and the reasons to leave one alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from paddle import Tensor, nn

from ..accelerate import is_accelerated
from ..layers.conv import Conv2D, paddings, symmetric_padding
from ..layers.padded import Padded
from ..layers.slot import Slot
from ..layers.untouched import has_hooks
from ..ops.precision import at_least_float32

IMAGE_CHANNELS = 4
"""A convolution of at most so many input channels reads an image."""
TOO_FEW = f"needs more than the {IMAGE_CHANNELS} channels of an image"


def slot_of(conv: nn.Conv2D) -> Slot:
    """The place of a convolution; ValueError with the reason if a layer that pads evenly cannot stand there."""
    padding = symmetric_padding(conv)
    if padding is None:
        raise ValueError(f"pads by {conv._padding!r}, which is not alike on opposite sides for all sizes")
    return replace(place_of(conv)[0], padding=padding)


def place_of(conv: nn.Conv2D) -> tuple[Slot, Callable[[nn.Layer], nn.Layer] | None]:
    """The place of a convolution, and what to put around a layer that stands there, None if it needs nothing around it.

    A convolution that pads unevenly gives the place of one that keeps its size, and what pads and crops around it.

    Raises:
        ValueError: another layer could not stand there; the message is the reason.
    """
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
    kernel, stride, asked = tuple(conv._kernel_size), tuple(conv._stride), paddings(conv)
    dilation = (1, 1) if asked == "SAME" else tuple(conv._dilation)  # as Paddle has it
    kept = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation))
    around = None
    if padding is None or conv._padding_algorithm == "VALID":
        padding = kept
        around = partial(Padded, kernel_size=kernel, stride=stride, dilation=dilation, even=kept, padding=asked)
    bias = False if conv.bias is None else None
    return Slot(conv._in_channels, conv._out_channels, kernel, stride, padding, dilation, conv._groups, bias), around


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


def inherit(new: nn.Layer, old: nn.Layer, is_new: bool = False) -> bool:
    """Give the parameters of a stand-in the learning rate, regularizer, clipping and freeze of those they stand for.

    Its biases take after the bias of the old layer, if that has one, and all others after its weight. What the stand-in
    exempts from regularization stays so.

    Args:
        is_new: the weights are freshly initialised, and would be of no use frozen.

    Returns:
        whether a freeze was not kept.
    """
    thawed = False
    for name, parameter in new.named_parameters():
        if parameter.stop_gradient:  # the statistics of a norm
            continue
        source = old.bias if name.endswith("bias") and old.bias is not None else old.weight
        parameter.optimize_attr = dict(source.optimize_attr)
        parameter.need_clip = source.need_clip
        if parameter.regularizer is None:
            parameter.regularizer = source.regularizer
        thawed |= source.stop_gradient and is_new
        parameter.stop_gradient = source.stop_gradient and not is_new
    return thawed


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
