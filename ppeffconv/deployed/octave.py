"""Lowering of octave convolution: three convolutions at stride 1, two at stride 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paddle import nn

from ..layers import OctaveMerge, OctConv2D, OctConvBNAct, TensorOctConv2D
from .basic import need_map, read_conv, stacked
from .builder import Builder, Map
from .fold import NOTHING, NotLowerable, Tail, norm_tail
from .lower import lowers

Pair = tuple[Map | None, Map | None]
Tails = tuple[Tail, Tail]


@lowers(OctConv2D)
def octave_conv(builder: Builder, layer: OctConv2D, x: Any, tail: Tail) -> Pair:
    """A pair of groups; nothing but a pair can follow."""
    pairs_end(tail)
    return _convolve(builder, layer, x, (NOTHING, NOTHING))


@lowers(OctaveMerge)
def octave_merge(builder: Builder, layer: OctaveMerge, x: Any, tail: Tail) -> Map:
    """One map out of a pair."""
    return builder.finish(merge(builder, x), tail)


@lowers(TensorOctConv2D)
def tensor_octave_conv(builder: Builder, layer: TensorOctConv2D, x: Any, tail: Tail) -> Map:
    """The groups are cut out of one map and become one again; a norm and an activation go into each of them."""
    high, low = layer.conv.in_split
    x = need_map(x)
    if low:
        x = (
            builder.step("slice", in_=x, first=0, count=high),
            halve(builder, builder.step("slice", in_=x, first=high, count=low)),
        )
    if tail.add is not None:
        tails, rest = tail.linear().split(layer.conv.out_split), replace(tail, scale=None, shift=None)
    else:
        tails, rest = tail.split(layer.conv.out_split), NOTHING
    return builder.finish(merge(builder, _convolve(builder, layer.conv, x, tails)), rest)


@lowers(OctConvBNAct)
def octave_conv_norm(builder: Builder, layer: OctConvBNAct, x: Any, tail: Tail) -> Pair:
    """The same with a norm and a ReLU for each group."""
    pairs_end(tail)
    return residual_conv(builder, layer, x, (None, None))


def residual_conv(builder: Builder, layer: OctConvBNAct, x: Any, residual: Pair, act: str | None = None) -> Pair:
    """OctConvBNAct with its residual, a pair as the output; ``act`` in place of its own activation."""
    act = act or ("relu" if layer.act else "none")
    tails = tuple(
        NOTHING if norm is None else norm_tail(norm, act, skip)
        for norm, skip in zip((layer.bn_h, layer.bn_l), residual)
    )
    return _convolve(builder, layer.conv, x, tails)


def merge(builder: Builder, x: Map | Pair) -> Map:
    """One map out of a pair: the high group, and the low one upsampled."""
    if isinstance(x, Map):
        return x
    high, low = x
    if high is None or low is None:
        return low if high is None else high
    return builder.step("concat", in_=(high, builder.step("upsample", in_=low, like=high)))


def pairs_end(tail: Tail) -> None:
    """NotLowerable if a tail follows a pair."""
    if not tail.is_empty:
        raise NotLowerable("a norm or an activation follows a pair of octave groups")


def pair_of(x: Map | Pair) -> Pair:
    """A pair; one map is a high group."""
    return x if isinstance(x, tuple) else (x, None)


def lone(x: Map | Pair) -> Map | Pair:
    """The map of a pair that has no low group; anything else as it is."""
    return x[0] if isinstance(x, tuple) and x[1] is None else x


def map_groups(function: Callable[[Map], Map], x: Pair) -> Pair:
    """``function`` of each group that exists."""
    return tuple(None if group is None else function(group) for group in x)


def pool_groups(builder: Builder, x: Pair) -> Pair:
    """2x2 max pooling of each group."""
    keys = {"kind": "max", "kernel": (2, 2), "stride": (2, 2), "ceil": 1}
    return map_groups(lambda group: builder.step("pool", in_=group, **keys), x)


def halve(builder: Builder, x: Map) -> Map:
    """2x2 average pooling with ceil."""
    return builder.step("pool", in_=x, kind="avg", kernel=(2, 2), stride=(2, 2), ceil=1)


def _convolve(builder: Builder, layer: OctConv2D, x: Any, tails: Tails) -> Pair:
    high, low = _as_pair(layer, x)
    to_low = layer.out_split[1] > 0
    pooled = halve(builder, high) if high is not None and (layer.stride == 2 or to_low) else None
    if layer.stride == 2:
        y_high = _join(builder, layer, ("conv_h2h", "conv_l2h"), (pooled, low), tails[0])
        if to_low:
            pooled, low = map_groups(lambda group: halve(builder, group), (pooled, low))
    else:
        y_high = _high(builder, layer, high, low, tails[0])
    return y_high, _join(builder, layer, ("conv_h2l", "conv_l2l"), (pooled, low), tails[1])


def _as_pair(layer: OctConv2D, x: Any) -> Pair:
    if isinstance(x, Map):
        x = (x, None) if layer.in_split[0] else (None, x)
    widths = tuple(0 if group is None else group.channels for group in x)
    if widths != tuple(layer.in_split):
        raise NotLowerable(f"it takes groups of {layer.in_split} channels, but gets {widths}")
    return x


def _high(builder: Builder, layer: OctConv2D, high: Map | None, low: Map | None, tail: Tail) -> Map | None:
    """``W_hh x_h + U(W_lh x_l)`` at stride 1: the low path runs at its own resolution and is upsampled behind it."""
    own, exchange = (_path(layer, name, group) for name, group in (("conv_h2h", high), ("conv_l2h", low)))
    if exchange is None:
        return None if own is None else _run(builder, own, high, tail)
    if own is not None:
        return _run(builder, own, high, tail, up=_run(builder, exchange, low, replace(tail.linear(), shift=None)))
    y = builder.step("upsample", in_=_run(builder, exchange, low, tail.linear()))
    return builder.finish(y, replace(tail, scale=None, shift=None))


def _join(builder: Builder, layer: OctConv2D, names: tuple[str, str], x: Pair, tail: Tail) -> Map | None:
    """Two paths that meet at one resolution: one convolution of both groups, or, with groups, a sum."""
    paths = [(conv, group) for name, group in zip(names, x) if (conv := _path(layer, name, group)) is not None]
    if not paths:
        return None
    if len(paths) == 2 and layer.groups == 1:
        convs, groups = zip(*paths)
        high, low = map(read_conv, convs)
        weight = stacked([high.weight, low.weight], axis=1)
        return builder.conv(groups, weight, high.bias, **high.geometry, tail=tail)
    for conv, group in paths[1:]:
        first = _run(builder, conv, group, replace(tail.linear(), shift=None, add=tail.add))
        tail = replace(tail, add=first)
    return _run(builder, *paths[0], tail)


def _path(layer: OctConv2D, name: str, group: Map | None) -> nn.Layer | None:
    return None if group is None else layer._sub_layers.get(name)


def _run(builder: Builder, conv: nn.Layer, x: Map, tail: Tail, up: Map | None = None) -> Map:
    weight, bias, geometry = read_conv(conv)
    return builder.conv(x, weight, bias, **geometry, tail=tail, up=up)
