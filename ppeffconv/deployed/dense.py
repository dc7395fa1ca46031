"""Lowering of DenseNet's layers."""

from __future__ import annotations

from typing import Any

from ..models.densenet import DenseLayer
from .builder import Builder, Map
from .fold import Tail
from .lower import lower_layer, lowers
from .octave import Pair, pair_of, pairs_end


@lowers(DenseLayer)
def dense_layer(builder: Builder, layer: DenseLayer, x: Any, tail: Tail) -> Map | Pair:
    """What the convolutions make stands behind the input, group by group."""
    y = lower_layer(builder, layer.layers, x)
    if isinstance(y, Map):
        return builder.finish(builder.step("concat", in_=(x, y)), tail)
    pairs_end(tail)
    return tuple(_behind(builder, old, new) for old, new in zip(pair_of(x), y))


def _behind(builder: Builder, old: Map | None, new: Map | None) -> Map | None:
    if old is None or new is None:
        return new if old is None else old
    return builder.step("concat", in_=(old, new))
