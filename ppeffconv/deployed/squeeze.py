"""Lowering of squeeze-and-excitation, and of the blocks that have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle import nn

from ..layers import OctaveSqueezeExcitation, SqueezeExcitation
from ..models.blocks import SEBottleneck
from ..models.octave_resnet import OctaveSEBlock
from .basic import mean, need_map, read_conv
from .builder import Builder, Map
from .fold import Tail, norm_tail
from .lower import lower_layer, lowers
from .octave import Pair, pair_of, pairs_end


@lowers(SqueezeExcitation)
def squeeze(builder: Builder, layer: SqueezeExcitation, x: Map, tail: Tail) -> Map:
    """The map times its gates."""
    (gate,) = _gates(builder, [mean(builder, need_map(x))], layer.fc1, [layer.fc2])
    return builder.finish(builder.step("mul", in_=(x, gate)), tail)


@lowers(OctaveSqueezeExcitation)
def octave_squeeze(builder: Builder, layer: OctaveSqueezeExcitation, x: Pair, tail: Tail) -> Pair:
    """The same for each group; both give their means."""
    pairs_end(tail)
    return _gate_groups(builder, layer, x, (Tail(), Tail()))


@lowers(SEBottleneck)
def squeezed_bottleneck(builder: Builder, block: SEBottleneck, x: Map, tail: Tail) -> Map:
    """As a residual block; the sum comes after the gates."""
    shortcut = x if block.downsample is None else lower_layer(builder, block.downsample, x)
    for i in range(1, 4):
        norm = norm_tail(getattr(block, f"bn{i}"), "relu" if i < 3 else "none")
        x = lower_layer(builder, getattr(block, f"conv{i}"), x, norm)
    return builder.finish(lower_layer(builder, block.se, x, Tail(add=shortcut, act="relu")), tail)


@lowers(OctaveSEBlock)
def squeezed_octave_block(builder: Builder, block: OctaveSEBlock, x: Any, tail: Tail) -> Pair:
    """As an octave block."""
    pairs_end(tail)
    y = skip = pair_of(x)
    if block.norm is not None:
        y = _normalise(builder, block.norm, y)
    for conv in (block.conv1, block.conv2, block.conv3):
        y = lower_layer(builder, conv, y)
    if block.norm_downsample is not None:
        skip = _normalise(builder, block.norm_downsample, skip)
    if block.downsample is not None:
        skip = lower_layer(builder, block.downsample, skip)
    with builder.at(block.se):
        return _gate_groups(builder, block.se, y, tuple(Tail(add=group, act="relu") for group in skip))


def _normalise(builder: Builder, norms: Sequence[nn.Layer], x: Pair) -> Pair:
    high, low = x
    return (
        builder.finish(high, norm_tail(norms[0])),
        None if low is None else builder.finish(low, norm_tail(norms[1])),
    )


def _gate_groups(builder: Builder, layer: OctaveSqueezeExcitation, x: Pair, tails: tuple[Tail, Tail]) -> Pair:
    groups = [group for group in x if group is not None]
    branches = [fc for fc in (layer.fc2_h, layer.fc2_l) if fc is not None]
    gates = iter(_gates(builder, [mean(builder, group) for group in groups], layer.fc1, branches))
    return tuple(
        None if group is None else builder.finish(builder.step("mul", in_=(group, next(gates))), tail)
        for group, tail in zip(x, tails)
    )


def _gates(builder: Builder, means: Sequence[Map], squeeze: nn.Layer, branches: Sequence[nn.Layer]) -> list[Map]:
    """``sigmoid(branch(relu(squeeze(means))))`` for each branch, as 1x1 maps."""
    weight, bias, _ = read_conv(squeeze)
    hidden = builder.conv(means, weight, bias, tail=Tail(act="relu"))
    return [builder.conv(hidden, *read_conv(branch)[:2], tail=Tail(act="sigmoid")) for branch in branches]
