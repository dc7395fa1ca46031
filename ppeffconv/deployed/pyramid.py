"""Lowering of feature pyramids, and of the dilated FPN up to its logits."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from paddle import nn

from ..layers import BilinearUpsample2D, NearestUpsample2D
from ..models import FPN, DilatedFPN
from ..models.staged import StageMaps
from .basic import read_conv, stacked
from .builder import Builder, Map
from .fold import NotLowerable, Tail
from .lower import lower_layer, lowers
from .octave import lone, merge
from .outputs import Resized

UPSAMPLINGS = (nn.Identity, NearestUpsample2D, BilinearUpsample2D)


@lowers(StageMaps)
def stage_maps(builder: Builder, net: StageMaps, x: Any, tail: Tail) -> list[Map]:
    """The maps of the stages that are asked for."""
    _ends(tail)
    maps = []
    for number, stage in enumerate(net.features, start=1):
        x = lone(lower_layer(builder, stage, x))
        if number in net.out_indices:
            maps.append(merge(builder, x))
    return maps


@lowers(FPN)
def fpn(builder: Builder, net: FPN, x: Any, tail: Tail) -> list[Map]:
    """From coarse to fine, each sum inside of its lateral convolution; then the output convolutions."""
    _ends(tail)
    for upsample in net.upsamples:
        if type(upsample) not in UPSAMPLINGS:
            name = type(upsample).__name__
            raise NotLowerable(f"no step crops what its {name} makes to the finer map, whose size may be odd")
    if not isinstance(x, list):
        raise NotLowerable("it takes a list of maps, and a program takes one; deploy it together with its backbone")
    sums = [lower_layer(builder, net.lateral_convs[-1], x[-1])]
    for conv, upsample, fine in reversed(list(zip(net.lateral_convs, net.upsamples, x))):
        sums.insert(0, _add(builder, conv, fine, upsample, sums[0]))
    maps = [lower_layer(builder, conv, each) for conv, each in zip(net.fpn_convs, sums)]
    if net.extra_levels:
        maps.append(builder.step("pool", in_=maps[-1], kind="max", kernel=(1, 1), stride=(2, 2), ceil=0))
    return maps


@lowers(DilatedFPN)
def dilated_fpn(builder: Builder, net: DilatedFPN, x: Map, tail: Tail) -> Resized:
    """Logits of each resolution: the 1x1 classifier goes ahead of the resizing, with which it commutes, and which then
    has ``num_classes`` channels to do. Over maps side by side it adds them as well.
    """
    _ends(tail)
    maps = lower_layer(builder, net.fpn, lower_layer(builder, net.backbone, x))
    levels = [lower_layer(builder, branch, level) for branch, level in zip(net.branches, maps)]
    weight, bias, geometry = read_conv(net.classifier)
    logits: list[Map] = []
    with builder.at(net.classifier):
        for _, group in groupby(zip(net.fpn.feature_strides, levels), key=lambda pair: pair[0]):
            same = [level for _, level in group]
            own_bias = None if logits else bias
            logits.append(builder.conv(same, stacked([weight] * len(same), axis=1), own_bias, **geometry))
    return Resized(tuple(logits))


def _add(builder: Builder, conv: nn.Layer, fine: Map, upsample: nn.Layer, coarse: Map) -> Map:
    """``conv(fine) + upsample(coarse)``."""
    if isinstance(upsample, NearestUpsample2D):
        weight, bias, geometry = read_conv(conv)
        with builder.at(conv):
            return builder.conv(fine, weight, bias, **geometry, up=coarse)
    if isinstance(upsample, BilinearUpsample2D):
        coarse = _bilinear(builder, coarse, fine)
    return lower_layer(builder, conv, fine, Tail(add=coarse))


def _bilinear(builder: Builder, coarse: Map, fine: Map) -> Map:
    """Bilinear x2: each pixel repeated, then means of two neighbours twice, (1, 2, 1) / 4 along each axis; at a border
    the means are of what exists, as if the last pixel went on. Of odd sizes the last row falls off already repeated.
    """
    y = builder.step("upsample", in_=coarse, like=fine)
    for padding in (1, 0):
        keys = {"kind": "avg", "kernel": (2, 2), "stride": (1, 1), "padding": (padding, padding), "ceil": 0}
        y = builder.step("pool", in_=y, **keys)
    return y


def _ends(tail: Tail) -> None:
    if not tail.is_empty:
        raise NotLowerable("a norm or an activation follows several maps")
