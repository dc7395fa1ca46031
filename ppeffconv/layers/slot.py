"""The conv slot: one constructor signature for every method, so that a network takes any of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from paddle import ParamAttr, nn

from ..registry import Registry, check_names
from .conv import Conv2D, pair
from .ddf import DDF2D, DDFSeparable2D
from .gating import ReLUGatedConv2D
from .ghost import GhostConv2D
from .het import HetConv2D
from .learned_versatile import LearnedVersatileConv2D
from .octave import OctConv2D
from .sampling import SampledBottleneck
from .spconv import SPConv2D
from .versatile import VersatileConv2D


@dataclass(frozen=True)
class Slot:
    """The place of one convolution in a network, as nn.Conv2D would be told."""

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    bias_attr: bool | ParamAttr | None

    def arguments(self) -> dict[str, Any]:
        """All of the slot, for a layer whose constructor takes what nn.Conv2D takes."""
        return dict(vars(self))

    def require(self, method: str, condition: bool, reason: str) -> None:
        """Raise ValueError with the reason why ``method`` cannot fill this slot, unless ``condition``."""
        if not condition:
            raise ValueError(f"conv method '{method}' {reason}")

    def square(self, method: str) -> dict[str, int]:
        """Arguments of a layer that takes one number per axis pair and keeps the size at stride 1."""
        for name in ("kernel_size", "stride", "padding", "dilation"):
            height, width = getattr(self, name)
            self.require(method, height == width, f"needs the same {name} on both axes, got ({height}, {width})")
        kernel, padding, dilation = self.kernel_size[0], self.padding[0], self.dilation[0]
        self.require(
            method,
            2 * padding == dilation * (kernel - 1),
            f"keeps the size: padding must be dilation * (kernel_size - 1) / 2, got kernel_size={kernel}, "
            f"padding={padding}, dilation={dilation}",
        )
        self.require(method, self.groups == 1, f"groups its channels itself: groups must be 1, got {self.groups}")
        self.require(method, self.bias_attr is False, "has no bias of its own: bias_attr must be False")
        return {"stride": self.stride[0], "dilation": dilation}


def _oct(slot: Slot) -> dict[str, Any]:
    slot.require("oct", slot.stride[0] == slot.stride[1], f"needs the same stride on both axes, got {slot.stride}")
    return {**slot.arguments(), "stride": slot.stride[0]}


def _sp(slot: Slot) -> dict[str, Any]:
    slot.require("sp", slot.kernel_size == (3, 3), f"replaces 3x3 convolutions, got kernel_size={slot.kernel_size}")
    return {"in_channels": slot.in_channels, "out_channels": slot.out_channels, **slot.square("sp")}


def _ddf(slot: Slot) -> dict[str, Any]:
    slot.require(
        "ddf",
        slot.in_channels == slot.out_channels,
        f"is depthwise and cannot change the width, got in_channels={slot.in_channels}, "
        f"out_channels={slot.out_channels}; use 'ddf_separable', which adds a 1x1 convolution",
    )
    return {"channels": slot.in_channels, "kernel_size": slot.kernel_size[0], **slot.square("ddf")}


def _ddf_separable(slot: Slot) -> dict[str, Any]:
    widths = {"in_channels": slot.in_channels, "out_channels": slot.out_channels}
    return {**widths, "kernel_size": slot.kernel_size[0], **slot.square("ddf_separable")}


def _sampled(slot: Slot) -> dict[str, Any]:
    raise ValueError(
        "conv method 'sampled' works on a whole residual block, whose convolutions share masks, and cannot fill the "
        "slot of one convolution; use layers.SampledBottleneck, layers.SampledBasicBlock or a sampled_* model"
    )


@dataclass(frozen=True)
class Method:
    """A layer class, and how it reads a slot (raising the reason where it cannot fill it)."""

    layer: type[nn.Layer]
    read: Callable[[Slot], dict[str, Any]] = Slot.arguments
    arguments_of: type[nn.Layer] | None = None  # whose constructor names the method's own arguments, if another's

    def own_arguments(self) -> list[str]:
        """Names of the arguments that belong to the method and not to the slot."""
        taken = {"self", "channels", "downsample", *(f.name for f in fields(Slot))}
        parameters = inspect.signature((self.arguments_of or self.layer).__init__).parameters.values()
        unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return [p.name for p in parameters if p.name not in taken and p.kind not in unnamed]


class MethodRegistry(Registry):
    """Methods by name, and convolutions of the user's own: `register` takes their bare classes.

    Such a class takes in_channels, out_channels, kernel_size, stride and padding as `nn.Conv2D` does, perhaps dilation,
    groups and bias_attr too, and whatever is its own; it then fills the slots of ``build_conv``, ``<name>_resnet*`` and
    ``<name>_vgg16``.
    """

    def register(self, name: str | None = None) -> Callable[[Any], Any]:
        """Decorator that registers a layer class, or a `Method`, under ``name`` (default: the class's own)."""

        def add(entry: Any) -> Any:
            method = entry if isinstance(entry, Method) else Method(entry, _reader(name, entry))
            key = name or method.layer.__name__
            if key in self._entries and _is_same(self._entries[key].layer, method.layer):
                del self._entries[key]  # a cell of a notebook that is run again
            super(MethodRegistry, self).register(key)(method)
            return entry

        return add


def _is_same(a: type, b: type) -> bool:
    return (a.__module__, a.__qualname__) == (b.__module__, b.__qualname__)


def _reader(name: str | None, layer: Any) -> Callable[[Slot], dict[str, Any]]:
    """How a class of the user's own reads a slot, in which what it has no argument for must be at its default."""
    if not (isinstance(layer, type) and issubclass(layer, nn.Layer)):
        raise ValueError(f"a conv method must be a class of paddle.nn.Layer, got {layer!r}")
    name = name or layer.__name__
    parameters = inspect.signature(layer.__init__).parameters.values()
    taken = {parameter.name for parameter in parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        taken |= {field.name for field in fields(Slot)}
    needed = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
    if missing := [argument for argument in needed if argument not in taken]:
        raise ValueError(f"conv method '{name}': {layer.__name__} must take {', '.join(missing)}, as nn.Conv2D does")

    def read(slot: Slot) -> dict[str, Any]:
        for field, none in (("dilation", (1, 1)), ("groups", 1), ("bias_attr", False)):
            value = getattr(slot, field)
            slot.require(name, field in taken or value == none, f"takes no {field}, and this slot has {value}")
        return {field: value for field, value in slot.arguments().items() if field in taken}

    return read


METHODS = MethodRegistry("conv method")
for _name, _method in {
    "plain": Method(Conv2D),
    "oct": Method(OctConv2D, _oct),
    "sp": Method(SPConv2D, _sp),
    "versatile": Method(VersatileConv2D),
    "learned_versatile": Method(LearnedVersatileConv2D),
    "ddf": Method(DDF2D, _ddf),
    "ddf_separable": Method(DDFSeparable2D, _ddf_separable, arguments_of=DDF2D),
    "sampled": Method(SampledBottleneck, _sampled),
    "gated": Method(ReLUGatedConv2D),
    "ghost": Method(GhostConv2D),
    "het": Method(HetConv2D),
}.items():
    METHODS.register(_name)(_method)


def build_conv(
    method: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 3,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | None = None,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias_attr: bool | ParamAttr | None = False,
    **kwargs,
) -> nn.Layer:
    """Build the convolution of ``method`` for a slot [N, in_channels, H, W] -> [N, out_channels, OH, OW].

    Args:
        method: plain, oct, sp, versatile, learned_versatile, ddf, ddf_separable, gated, ghost or het.
        padding: default dilation * (kernel_size - 1) / 2, which keeps the size.
        kwargs: the method's own arguments (ratio, delta, mode, ...); "oct" maps (high, low) pairs unless its
            alpha_in and alpha_out are 0.

    Raises:
        ValueError: an unknown method or argument, or, with the reason, a slot that the method cannot fill.
    """
    entry = METHODS.get(method)
    kernel, step = pair(kernel_size, "kernel_size"), pair(dilation, "dilation")
    if padding is None:
        padding = tuple(d * (k - 1) // 2 for d, k in zip(step, kernel))
    stride, padding = pair(stride, "stride"), pair(padding, "padding", minimum=0)
    slot = Slot(in_channels, out_channels, kernel, stride, padding, step, groups, bias_attr)
    arguments = entry.read(slot)
    check_names(kwargs, entry.own_arguments(), f"conv method '{method}'")
    return entry.layer(**arguments, **kwargs)
