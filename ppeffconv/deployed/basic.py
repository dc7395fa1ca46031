"""Lowering of Paddle's own layers: convolutions, fully connected layers, pooling, flattening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from paddle import nn

from ..layers.conv import Conv2D, symmetric_padding
from .builder import Builder, Map
from .fold import NotLowerable, Tail, array
from .lower import lowers


def need_map(x: object) -> Map:
    """``x`` if it is one feature map; NotLowerable otherwise."""
    if not isinstance(x, Map):
        raise NotLowerable("it takes one map, not a pair of octave groups")
    if x.flat and x.size != (1, 1):
        raise NotLowerable("it takes a map, not a flattened one")
    return x


class Dense(NamedTuple):
    """What a program needs of a plain convolution: the first and the other arguments of `Builder.conv`."""

    weight: np.ndarray
    bias: np.ndarray | None
    geometry: dict[str, Any]


def read_conv(layer: nn.Layer) -> Dense:
    """Read a plain convolution; NotLowerable if it is none, or is padded in a way that a program cannot say."""
    if not isinstance(layer, nn.Conv2D) or type(layer).forward not in (nn.Conv2D.forward, Conv2D.forward):
        raise NotLowerable(f"a plain convolution belongs where {type(layer).__name__} is")
    padding = symmetric_padding(layer)
    if layer._data_format != "NCHW" or layer._padding_mode != "zeros" or padding is None:
        given = f"data_format {layer._data_format} with {layer._padding_mode} padding {layer._padding!r}"
        raise NotLowerable(f"{given}; only NCHW and zeros in numbers, the same on opposite sides, are lowered")
    geometry = {"stride": layer._stride, "padding": padding, "dilation": layer._dilation, "groups": layer._groups}
    return Dense(array(layer.weight), bias_of(layer), geometry)


def bias_of(layer: nn.Layer) -> np.ndarray | None:
    """The bias of a layer, None without one."""
    return None if layer.bias is None else array(layer.bias)


@lowers(nn.Conv2D, Conv2D)
def conv(builder: Builder, layer: nn.Conv2D, x: Map, tail: Tail) -> Map:
    """A plain convolution."""
    weight, bias, geometry = read_conv(layer)
    return builder.conv(need_map(x), weight, bias, **geometry, tail=tail)


@lowers(nn.Linear)
def linear(builder: Builder, layer: nn.Linear, x: Map, tail: Tail) -> Map:
    """A convolution that covers the flattened map, giving a 1x1 map."""
    if not isinstance(x, Map) or not x.flat:
        raise NotLowerable("a fully connected layer is lowered only behind a flattening")
    height, width = x.size
    inner, outer = layer.weight.shape
    if inner != x.channels * height * width:
        raise NotLowerable(f"it takes {inner} numbers, but gets {x.channels}x{height}x{width}")
    weight = array(layer.weight).T.reshape(outer, x.channels, height, width)
    return replace(builder.conv(replace(x, flat=False), weight, bias_of(layer), tail=tail), flat=True)


@lowers(nn.Flatten)
def flatten(builder: Builder, layer: nn.Flatten, x: Map, tail: Tail) -> Map:
    """A change of view, for maps whose size is the same for every input."""
    if layer.start_axis != 1 or layer.stop_axis not in (-1, 3):
        raise NotLowerable(f"only start_axis=1, stop_axis=-1 is lowered, got {layer.start_axis}, {layer.stop_axis}")
    return builder.finish(as_vector(x), tail)


def as_vector(x: Map) -> Map:
    """The map, flattened; NotLowerable if its size depends on the input's."""
    if not isinstance(x, Map) or x.size is None:
        raise NotLowerable("it flattens a map whose size depends on the input's; pool adaptively before it")
    return replace(x, flat=True)


@lowers(nn.MaxPool2D, nn.AvgPool2D)
def pool(builder: Builder, layer: nn.MaxPool2D | nn.AvgPool2D, x: Map, tail: Tail) -> Map:
    """Pooling; averages count what exists of a window."""
    kind = "max" if isinstance(layer, nn.MaxPool2D) else "avg"
    kernel = _pair(layer.ksize, "kernel_size")
    stride = kernel if layer.stride is None else _pair(layer.stride, "stride")
    padding = _pair(layer.padding, "padding")
    if layer.data_format != "NCHW" or getattr(layer, "return_mask", False):
        raise NotLowerable("only NCHW and no return_mask is lowered")
    counts_padding = kind == "avg" and (not layer.exclusive and (any(padding) or layer.ceil_mode))
    if counts_padding or getattr(layer, "divisor", None):
        raise NotLowerable("an average that counts padding or has a divisor of its own")
    keys = {"kind": kind, "kernel": kernel, "stride": stride, "padding": padding, "ceil": int(layer.ceil_mode)}
    return builder.finish(builder.step("pool", in_=need_map(x), **keys), tail)


@lowers(nn.AdaptiveAvgPool2D)
def adaptive_pool(builder: Builder, layer: nn.AdaptiveAvgPool2D, x: Map, tail: Tail) -> Map:
    """The global mean, or a grid of means."""
    size = _pair(layer._output_size, "output_size")
    if layer._data_format != "NCHW":
        raise NotLowerable("only NCHW is lowered")
    x = need_map(x)
    y = mean(builder, x) if size == (1, 1) else builder.step("adaptive", in_=x, size=size)
    return builder.finish(y, tail)


def mean(builder: Builder, x: Map) -> Map:
    """Global average pooling."""
    return x if x.size == (1, 1) else builder.step("mean", in_=x)


def head(builder: Builder, fc: nn.Linear, x: Map, tail: Tail) -> Map:
    """Global mean and classifier."""
    return linear(builder, fc, as_vector(mean(builder, x)), tail)


def stacked(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    """Weights side by side."""
    return np.concatenate(arrays, axis=axis)


def _pair(value: object, name: str) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(values) != 2 or not all(isinstance(v, int) for v in values):
        raise NotLowerable(f"{name}={value!r} is not one or two integers")
    return values
