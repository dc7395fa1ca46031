"""Lowering of sampled blocks: hard masks, masked convolutions, and filling in what they leave out."""

from __future__ import annotations

import math

import numpy as np
from paddle import nn

from ..layers import SampledBasicBlock, SampledBottleneck
from .basic import geometry_of, need_map
from .builder import Builder, Map
from .fold import NotLowerable, Tail, array, norm_tail
from .lower import lower_layer, lowers


@lowers(SampledBottleneck)
def sampled_bottleneck(builder: Builder, block: SampledBottleneck, x: Map, tail: Tail) -> Map:
    """conv3 runs at the sampled positions, before the interpolation: it is linear, has no bias and treats every channel
    of the interpolation alike (methods/sampling.md 2f.4). The shift of its norm comes after it.
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
    """Both masks, hard; a soft eval mode has no sparse form."""
    masks = []
    for name in ("conv1", "conv2"):
        branch, sampler = getattr(block, f"{name}_mask"), getattr(block, f"{name}_gumbel")
        builder.label = builder.name(branch) or builder.label
        quiet = "deterministic" in (sampler.sampling, sampler.eval_mode)
        if sampler.eval_mode == "reference":
            builder.note(
                "masks of eval_mode 'reference' are soft; the deploy form takes them hard, as eval_mode 'hard'"
            )
        mask = builder.step(
            "mask",
            in_=x,
            weight=array(branch.weight),
            bias=array(branch.bias),
            **_geometry(branch),
            grid=sampler.grid_stride,
            noise=0 if quiet else 1,
            stream=builder.next_stream(),
        )
        masks.append(mask)
    return masks


def _masked(builder: Builder, conv: nn.Layer, x: Map, mask: Map, tail: Tail) -> Map:
    if conv.bias is not None or conv._groups != 1:
        raise NotLowerable("a masked convolution has neither bias nor groups")
    return builder.conv(x, array(conv.weight), **_geometry(conv), tail=tail, mask=mask)


def _geometry(conv: nn.Conv2D) -> dict[str, tuple[int, int]]:
    geometry = geometry_of(conv)
    return {key: tuple(geometry[key]) for key in ("stride", "padding", "dilation")}


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
