"""Lowering of sampled blocks: hard masks, masked convolutions, and filling in what they leave out."""

from __future__ import annotations

import math

import numpy as np
from paddle import nn

from ..layers import GumbelSampler, SampledBasicBlock, SampledBottleneck
from .basic import need_map, read_conv
from .builder import Builder, Map
from .fold import NotLowerable, Tail, array, norm_tail
from .lower import lower_layer, lowers

CONVS = ("conv1", "conv2")


@lowers(SampledBottleneck)
def sampled_bottleneck(builder: Builder, block: SampledBottleneck, x: Map, tail: Tail) -> Map:
    """conv3 runs at the sampled positions, before the interpolation: it is linear, has no bias and treats every channel
    of the interpolation alike. The shift of its norm comes after it.
    """
    mask1, mask2 = _masks(builder, block, need_map(x))
    a = _masked(builder, block.conv1, x, mask1, norm_tail(block.bn1, "relu"))
    a = builder.step("fill", in_=a, mask=mask1, table=_table(block, "conv1"))
    b = _masked(builder, block.conv2, a, mask2, norm_tail(block.bn2, "relu"))
    norm = norm_tail(block.bn3)
    c = _masked(builder, block.conv3, b, mask2, Tail(scale=norm.scale))
    keys = {"shift": norm.shift, "add": _shortcut(builder, block, x), "act": "relu"}
    return builder.finish(builder.step("fill", in_=c, mask=mask2, table=_table(block, "conv2"), **keys), tail)


@lowers(SampledBasicBlock)
def sampled_basic_block(builder: Builder, block: SampledBasicBlock, x: Map, tail: Tail) -> Map:
    """Both norms come before the interpolation and fold into the convolutions."""
    mask1, mask2 = _masks(builder, block, need_map(x))
    a = _masked(builder, block.conv1, x, mask1, norm_tail(block.bn1, "relu"))
    a = builder.step("fill", in_=a, mask=mask1, table=_table(block, "conv1"))
    b = _masked(builder, block.conv2, a, mask2, norm_tail(block.bn2))
    keys = {"add": _shortcut(builder, block, x), "act": "relu"}
    return builder.finish(builder.step("fill", in_=b, mask=mask2, table=_table(block, "conv2"), **keys), tail)


def _shortcut(builder: Builder, block: nn.Layer, x: Map) -> Map:
    return x if block.downsample is None else lower_layer(builder, block.downsample, x)


def _masks(builder: Builder, block: nn.Layer, x: Map) -> list[Map]:
    """The masks of conv1 and conv2."""
    return [_mask(builder, getattr(block, f"{name}_mask"), getattr(block, f"{name}_gumbel"), x) for name in CONVS]


def _mask(builder: Builder, branch: nn.Layer, sampler: GumbelSampler, x: Map) -> Map:
    """A hard mask; a soft eval mode has no sparse form."""
    if sampler.eval_mode == "reference":
        builder.note("masks of eval_mode 'reference' are soft; the deploy form takes them hard, as eval_mode 'hard'")
    weight, bias, geometry = read_conv(branch)
    with builder.at(branch):
        return builder.step(
            "mask",
            in_=x,
            weight=weight,
            bias=bias,
            **{key: tuple(geometry[key]) for key in ("stride", "padding", "dilation")},
            grid=sampler.grid_stride,
            noise=0 if "deterministic" in (sampler.sampling, sampler.eval_mode) else 1,
            stream=builder.next_stream(),
        )


def _masked(builder: Builder, conv: nn.Layer, x: Map, mask: Map, tail: Tail) -> Map:
    weight, bias, geometry = read_conv(conv)
    if bias is not None:
        raise NotLowerable("a masked convolution has no bias")
    with builder.at(conv):
        return builder.conv(x, weight, **geometry, tail=tail, mask=mask)


def _table(block: nn.Layer, name: str) -> np.ndarray | None:
    """Weights of the interpolation by offset, row by row; see `ops.reference_sampling`."""
    if not block.interpolate:
        return None
    if block.kernel == "learned":
        return np.abs(array(getattr(block, f"{name}_kernel")))
    offsets = np.arange(block.window) - block.window // 2
    if block.kernel == "average":
        line = np.full(block.window, 1 / block.window)
    else:
        sigma = float(getattr(block, f"{name}_sigma"))
        line = sigma / math.sqrt(2 * math.pi) * np.exp(-0.5 * (sigma * offsets) ** 2)
    return np.outer(line, line)
