"""Lowering of the comparators: ghost, heterogeneous and gated convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..layers import GhostConv2D, HetConv2D, ReLUGatedConv2D
from .basic import need_map, read_conv
from .builder import Builder, Map
from .fold import Tail, array, norm_tail
from .lower import lower_layer, lowers


@lowers(GhostConv2D)
def ghost_conv(builder: Builder, layer: GhostConv2D, x: Map, tail: Tail) -> Map:
    """Intrinsic maps, their ghosts, and the surplus cut off."""
    intrinsic = lower_layer(builder, layer.primary_conv, need_map(x))
    y = builder.step("concat", in_=(intrinsic, lower_layer(builder, layer.cheap_operation, intrinsic)))
    if y.channels > layer.out_channels:
        y = builder.step("slice", in_=y, first=0, count=layer.out_channels)
    return builder.finish(y, tail)


@lowers(HetConv2D)
def het_conv(builder: Builder, layer: HetConv2D, x: Map, tail: Tail) -> Map:
    """A 1x1 convolution at the window centres, and the grouped one, which adds it."""
    centres = _centre_conv(
        builder, x, array(layer.pointwise_weight()), layer.stride, layer._margins, replace(tail, shift=None, act="none")
    )
    return lower_layer(builder, layer.gwc, x, replace(tail, add=centres))


@lowers(ReLUGatedConv2D)
def gated_conv(builder: Builder, layer: ReLUGatedConv2D, x: Map, tail: Tail) -> Map:
    """A convolution times its gate."""
    y = lower_layer(builder, layer.conv, x)
    conv, norm = layer.collaborative
    weight, _, geometry = read_conv(conv)
    gate = _centre_conv(builder, x, weight, geometry["stride"], layer._margins, norm_tail(norm, "relu"))
    return builder.finish(builder.step("mul", in_=(y, gate)), tail)


def _centre_conv(
    builder: Builder, x: Map, weight: np.ndarray, stride: tuple[int, int], margins: tuple[int, int], tail: Tail
) -> Map:
    """A 1x1 convolution of the window centres; where these lie inside of the input, it has rings of zeros instead."""
    rings = [(max(-margin, 0),) * 2 for margin in margins]
    weight = np.pad(weight, [(0, 0), (0, 0), *rings])
    padding = tuple(max(margin, 0) for margin in margins)
    return builder.conv(x, weight, None, stride, padding, tail=tail)
