"""Lowering of this package's networks."""

from __future__ import annotations

from typing import Any

from paddle import nn

from ..layers import UniformSampling
from ..models import VGG16, OctaveResNet, OctaveVGG16, ResNet
from ..models.octave_resnet import OctaveBlock
from ..models.resnet import BasicBlock, Bottleneck
from .basic import head
from .builder import Builder, Map
from .fold import Tail, norm_tail
from .lower import lower_layer, lowers
from .octave import merge, pool_groups, residual_conv
from .sequence import lower_sequence


@lowers(BasicBlock, Bottleneck)
def residual_block(builder: Builder, block: nn.Layer, x: Map, tail: Tail) -> Map:
    """Convolutions with their norms; the last one takes the shortcut and the ReLU."""
    shortcut = x if block.downsample is None else lower_layer(builder, block.downsample, x)
    last = 3 if hasattr(block, "conv3") else 2
    for i in range(1, last + 1):
        norm = getattr(block, f"bn{i}")
        x = lower_layer(
            builder, getattr(block, f"conv{i}"), x, norm_tail(norm, "relu", shortcut if i == last else None)
        )
    return builder.finish(x, tail)


@lowers(OctaveBlock)
def octave_block(builder: Builder, block: OctaveBlock, x: Any, tail: Tail) -> Any:
    """As a residual block, on pairs."""
    shortcut = x if block.downsample is None else lower_layer(builder, block.downsample, x)
    for i in range(1, block.depth):
        x = lower_layer(builder, getattr(block, f"conv{i}"), x)
    residual = shortcut if isinstance(shortcut, tuple) else (shortcut, None)
    return residual_conv(builder, getattr(block, f"conv{block.depth}"), x, residual)


@lowers(ResNet, OctaveResNet)
def resnet(builder: Builder, net: ResNet, x: Map, tail: Tail) -> Map | list[Map]:
    """Logits, or the maps of the stages that are asked for."""
    x = lower_layer(builder, net.conv1, x, norm_tail(net.bn1, "relu"))
    if net.maxpool is not None:
        x = lower_layer(builder, net.maxpool, x)
    features = []
    for stage in range(1, net.stages + 1):
        for block in getattr(net, f"layer{stage}"):
            x = lower_layer(builder, block, x)
        if net.features_only and stage in net.out_indices:
            features.append(merge(builder, x))
    return features if net.features_only else head(builder, net.fc, merge(builder, x), tail)


@lowers(VGG16)
def vgg(builder: Builder, net: VGG16, x: Map, tail: Tail) -> Map:
    """Two sequences of layers."""
    return lower_sequence(builder, [net.features, net.head], x, tail)


@lowers(OctaveVGG16)
def octave_vgg(builder: Builder, net: OctaveVGG16, x: Any, tail: Tail) -> Map:
    """Octave convolutions, pooled by stage, and the head on the merged groups."""
    for i, conv in enumerate(net.features):
        x = lower_layer(builder, conv, x)
        if i in net.pool_after:
            x = pool_groups(builder, x)
    return lower_layer(builder, net.head, merge(builder, x), tail)


@lowers(UniformSampling)
def uniform_sampling(builder: Builder, layer: UniformSampling, x: Map, tail: Tail) -> Any:
    """A smaller input; half of the size is exactly 2x2 average pooling."""
    if layer.scale == 0.5:
        x = builder.step("pool", in_=x, kind="avg", kernel=(2, 2), stride=(2, 2), ceil=0)
    else:
        x = builder.step("resize", in_=x, scale=layer.scale)
    return lower_layer(builder, layer.net, x, tail)
