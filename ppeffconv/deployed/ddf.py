"""Lowering of decoupled dynamic filters: the branches that generate them, and one ``ddf`` step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from paddle import nn

from ..layers import DDF2D, DDFUpsample2D
from .basic import mean, need_map, read_conv, stacked
from .builder import Builder, Map
from .fold import NotLowerable, Tail, array
from .lower import lowers


@lowers(DDF2D)
def dynamic_filter(builder: Builder, layer: DDF2D, x: Map, tail: Tail) -> Map:
    """Logits of the spatial filters from a 1x1 convolution; `FilterNorm` runs inside of ``ddf``."""
    conv, norm = layer.spatial_branch
    weight, bias, geometry = read_conv(conv)
    logits = builder.conv(need_map(x), weight, bias, **geometry)
    return _filter(builder, layer, x, [layer.channel_branch], logits, norm.scale, 1, tail)


@lowers(DDFUpsample2D)
def dynamic_upsample(builder: Builder, layer: DDFUpsample2D, x: Map, tail: Tail) -> Map:
    """All branches at once: their logits side by side, their depthwise convolutions first."""
    if layer.guide_channels is not None:
        raise NotLowerable("it takes a guide beside its input, and a program has one input")
    x = need_map(x)
    depthwise, predict, norms = zip(*layer.spatial_branches)
    maps = [builder.conv(x, dense.weight, dense.bias, **dense.geometry) for dense in map(read_conv, depthwise)]
    weight, bias = _stack(predict)
    guides = builder.step("concat", in_=maps) if len(maps) > 1 else maps[0]
    logits = builder.conv(guides, weight, bias, groups=len(maps))
    return _filter(builder, layer, x, layer.channel_branches, logits, norms[0].scale, layer.scale, tail)


def _filter(
    builder: Builder,
    layer: DDF2D | DDFUpsample2D,
    x: Map,
    branches: Sequence[nn.Layer],
    logits: Map,
    gain: float,
    up: int,
    tail: Tail,
) -> Map:
    scale, shift = tail.affine(layer.channels)
    return builder.step(
        "ddf",
        in_=x,
        channel=_channel_filters(builder, x, branches, layer.kernel_size**2),
        spatial=logits,
        scale=scale,
        shift=shift,
        kernel=layer.kernel_size,
        stride=layer.stride,
        dilation=layer.dilation,
        heads=layer.heads,
        mode=layer.mode,
        gain=gain,
        up=up,
        act=tail.act,
        add=tail.add,
    )


def _channel_filters(builder: Builder, x: Map, branches: Sequence[nn.Layer], taps: int) -> Map:
    """Pool once, squeeze all branches, expand each by its own group, normalise."""
    _, squeeze, _, expand, norm = zip(*branches)
    hidden = builder.conv(mean(builder, x), *_stack(squeeze), tail=Tail(act="relu"))
    filters = builder.conv(hidden, *_stack(expand), groups=len(branches))
    return builder.step("filters", in_=filters, std=stacked([array(n.std) for n in norm]), taps=taps)


def _stack(convs: Sequence[nn.Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of convolutions side by side."""
    weights, biases, _ = zip(*map(read_conv, convs))
    return stacked(weights), stacked(biases)
