"""Lowering of what octave networks beside ResNet put between their convolutions."""

from __future__ import annotations

from typing import Any

from ..layers import OctaveAvgPool2D, OctaveNormAct, OctConvBNReLU6
from .builder import Builder, Map
from .fold import Tail, norm_tail
from .lower import lowers
from .octave import Pair, halve, lone, map_groups, pair_of, pairs_end, residual_conv


@lowers(OctConvBNReLU6)
def octave_conv_relu6(builder: Builder, layer: OctConvBNReLU6, x: Any, tail: Tail) -> Map | Pair:
    """An octave convolution with norms; ReLU6 of a lone group leaves one map."""
    pairs_end(tail)
    return lone(residual_conv(builder, layer, x, (None, None), "relu6"))


@lowers(OctaveNormAct)
def octave_norm(builder: Builder, layer: OctaveNormAct, x: Any, tail: Tail) -> Map | Pair:
    """A norm and a ReLU for each group, in passes of their own: the convolution is behind them."""
    pairs_end(tail)
    norms = (layer.bn_h, layer.bn_l)
    groups = zip(pair_of(x), norms)
    return lone(tuple(None if g is None else builder.finish(g, norm_tail(norm, "relu")) for g, norm in groups))


@lowers(OctaveAvgPool2D)
def octave_avg_pool(builder: Builder, layer: OctaveAvgPool2D, x: Any, tail: Tail) -> Pair:
    """2x2 average pooling of each group."""
    pairs_end(tail)
    return map_groups(lambda group: halve(builder, group), pair_of(x))
