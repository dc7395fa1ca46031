"""Lowering of the networks of paddle.vision: ResNet, VGG, MobileNet V1 to V3."""

from __future__ import annotations

from paddle import nn
from paddle.vision import models
from paddle.vision.models import mobilenetv1, mobilenetv2, mobilenetv3, resnet

from .basic import as_vector, mean, need_map
from .builder import Builder, Map
from .fold import NotLowerable, Tail, norm_tail
from .lower import lower_layer, lowers
from .sequence import activation_of, lower_sequence


@lowers(resnet.BasicBlock, resnet.BottleneckBlock)
def residual_block(builder: Builder, block: nn.Layer, x: Map, tail: Tail) -> Map:
    """As our own, with an activation that is a layer."""
    act = activation_of(block.relu)
    shortcut = x if block.downsample is None else lower_layer(builder, block.downsample, x)
    last = 3 if isinstance(block, resnet.BottleneckBlock) else 2
    for i in range(1, last + 1):
        own = norm_tail(getattr(block, f"bn{i}"), act, shortcut if i == last else None)
        x = lower_layer(builder, getattr(block, f"conv{i}"), x, own)
    return builder.finish(x, tail)


@lowers(models.ResNet)
def resnet_(builder: Builder, net: models.ResNet, x: Map, tail: Tail) -> Map:
    """Stem, four stages and the head."""
    stages = [net.layer1, net.layer2, net.layer3, net.layer4]
    layers = [net.conv1, net.bn1, net.relu, net.maxpool, *stages]
    return _head(builder, net, lower_sequence(builder, layers, x), "avgpool", "fc", tail)


@lowers(models.VGG)
def vgg(builder: Builder, net: models.VGG, x: Map, tail: Tail) -> Map:
    """Features and classifier."""
    return _head(builder, net, lower_layer(builder, net.features, x), "avgpool", "classifier", tail)


@lowers(models.MobileNetV1)
def mobilenet_v1(builder: Builder, net: models.MobileNetV1, x: Map, tail: Tail) -> Map:
    """Depthwise separable convolutions and the head."""
    return _head(builder, net, lower_sequence(builder, [net.conv1, *net.dwsl], x), "pool2d_avg", "fc", tail)


@lowers(mobilenetv1.DepthwiseSeparable)
def separable(builder: Builder, layer: mobilenetv1.DepthwiseSeparable, x: Map, tail: Tail) -> Map:
    """A depthwise and a pointwise convolution."""
    return lower_sequence(builder, [layer._depthwise_conv, layer._pointwise_conv], x, tail)


@lowers(models.MobileNetV2)
def mobilenet_v2(builder: Builder, net: models.MobileNetV2, x: Map, tail: Tail) -> Map:
    """Inverted residuals and the head."""
    return _head(builder, net, lower_layer(builder, net.features, x), "pool2d_avg", "classifier", tail)


@lowers(mobilenetv2.InvertedResidual)
def inverted_residual(builder: Builder, block: mobilenetv2.InvertedResidual, x: Map, tail: Tail) -> Map:
    """The sum goes into the last convolution."""
    y = lower_layer(builder, block.conv, x, Tail(add=x) if block.use_res_connect else Tail())
    return builder.finish(y, tail)


@lowers(models.MobileNetV3Small, models.MobileNetV3Large)
def mobilenet_v3(builder: Builder, net: nn.Layer, x: Map, tail: Tail) -> Map:
    """Inverted residuals, some with squeeze-and-excitation, and the head."""
    x = lower_sequence(builder, [net.conv, net.blocks, net.lastconv], x)
    return _head(builder, net, x, "avgpool", "classifier", tail)


@lowers(mobilenetv3.InvertedResidual)
def squeezed_inverted_residual(builder: Builder, block: mobilenetv3.InvertedResidual, x: Map, tail: Tail) -> Map:
    """As that of V2."""
    parts = [getattr(block, name, None) for name in ("expand_conv", "bottleneck_conv", "mid_se", "linear_conv")]
    own = Tail(add=x) if block.use_res_connect else Tail()
    return builder.finish(lower_sequence(builder, [part for part in parts if part is not None], x, own), tail)


@lowers(mobilenetv3.SqueezeExcitation)
def squeeze(builder: Builder, layer: mobilenetv3.SqueezeExcitation, x: Map, tail: Tail) -> Map:
    """The map times its gates."""
    parts = [layer.fc1, layer.activation, layer.fc2, layer.scale_activation]
    gate = lower_sequence(builder, parts, mean(builder, need_map(x)))
    return builder.finish(builder.step("mul", in_=(x, gate)), tail)


def _head(builder: Builder, net: nn.Layer, x: Map, pool: str, classifier: str, tail: Tail) -> Map:
    """Pooling and classifier, where the network has them."""
    if net.with_pool:
        x = lower_layer(builder, getattr(net, pool), x)
    if net.num_classes > 0:
        if not isinstance(x, Map):
            raise NotLowerable("octave pairs reach its classifier")
        return lower_sequence(builder, [getattr(net, classifier)], as_vector(x), tail)
    return builder.finish(x, tail)
