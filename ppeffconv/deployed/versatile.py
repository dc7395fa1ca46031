"""Lowering of versatile filters. The secondary filters share the stored one, so scales stay outside of it."""

from __future__ import annotations

import numpy as np

from ..layers import LearnedVersatileConv2D, VersatileConv2D
from .basic import bias_of, need_map
from .builder import Builder, Map
from .fold import Tail, array
from .lower import lowers


@lowers(VersatileConv2D)
def versatile_conv(builder: Builder, layer: VersatileConv2D, x: Map, tail: Tail) -> Map:
    """A ``nested`` step, or a plain convolution where each stored filter gives one."""
    x = need_map(x)
    geometry = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
    bias = bias_of(layer)
    if layer.spatial_filters * layer.channel_filters == 1:
        return builder.conv(x, array(layer.weight), bias, **geometry, tail=tail)
    scale, shift = tail.affine(layer.out_channels)
    if bias is not None:
        shift = shift + scale * bias
    keys = {"delta": layer.delta, "g": layer.g, "mode": layer.channel_mode, "act": tail.act, "add": tail.add}
    return builder.step("nested", in_=x, weight=array(layer.weight), scale=scale, shift=shift, **geometry, **keys)


@lowers(LearnedVersatileConv2D)
def learned_versatile_conv(builder: Builder, layer: LearnedVersatileConv2D, x: Map, tail: Tail) -> Map:
    """A plain convolution with the filters written out."""
    low, high = layer.mask_range
    binary = np.where(array(layer.mask) > (low + high) / 2, high, low)
    stored = array(layer.weight)
    masks = binary.reshape(layer.s, -1, *stored.shape[1:])
    weight = (stored[None] * masks).reshape(-1, *stored.shape[1:])[: layer.out_channels]
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return builder.conv(need_map(x), weight, bias_of(layer), *geometry, tail)
