"""Lowering of SPConv: both BatchNorms inside and the one behind it fold into the branches."""

from __future__ import annotations

import numpy as np

from ..layers import SPConv2D
from .basic import need_map, read_conv
from .builder import Builder, Map
from .fold import Tail, fold, norm_tail
from .lower import lowers


@lowers(SPConv2D)
def split_conv(builder: Builder, layer: SPConv2D, x: Map, tail: Tail) -> Map:
    """One ``sp`` step.

    The weights of the two branches add up to 1, so the outer scale s and shift t go into each branch; the gate reads
    the means of the unscaled branches, hence 1 / s. Where s is 0 both branches are t.
    """
    outer = tail.linear()
    norm3, norm1 = (norm_tail(norm).before(outer) for norm in (layer.bn1, layer.bn2))
    gwc, pwc, cheap = map(read_conv, (layer.gwc, layer.pwc, layer.conv1x1))
    grouped, shift3 = fold(gwc.weight, gwc.bias, norm3)
    pointwise, _ = fold(pwc.weight, None, norm3)
    redundant, shift1 = fold(cheap.weight, cheap.bias, norm1)
    scale, _ = outer.affine(len(grouped))
    gate = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    zeros = np.zeros(len(grouped))
    return builder.step(
        "sp",
        in_=need_map(x),
        grouped=grouped,
        pointwise=pointwise,
        redundant=redundant,
        shift3=zeros if shift3 is None else shift3,
        shift1=zeros if shift1 is None else shift1,
        gate=gate,
        stride=(layer.stride, layer.stride),
        dilation=tuple(gwc.geometry["dilation"]),
        groups=layer.groups,
        act=tail.act,
        add=tail.add,
    )
