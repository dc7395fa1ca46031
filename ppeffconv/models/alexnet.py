"""AlexNet with a conv slot."""

from __future__ import annotations

from typing import Any

from paddle import nn

from ..layers import build_conv
from ..layers.conv import fan_in_uniform
from .blocks import ConvSlots
from .resnet import classifier
from .staged import StagedNet

# channels, kernel, stride, padding, whether pooling follows
CONVS = ((64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False), (256, 3, 1, 1, True))


def alexnet(
    method: str = "plain",
    method_kwargs: dict[str, Any] | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> StagedNet:
    """AlexNet on one device (arXiv 1404.5997): [N, in_channels, H, W] -> logits [N, num_classes].

    The plain one has the parameters of paddle.vision's, in its order. Versatile filters take all five convolutions and
    the first fully connected layer, as a 6x6 convolution: that is how their authors treat VGG-16 (their AlexNet is not
    published).

    Args:
        method, method_kwargs: what fills the slots, "plain" or "versatile"; see `layers.build_conv`.

    Raises:
        ValueError: a slot that the method cannot fill.
    """
    slots, layers = ConvSlots(method, **(method_kwargs or {})), []
    for number, (out, kernel, stride, padding, pooled) in enumerate(CONVS):
        own = slots.kwargs if number else slots.spatial_only
        conv = build_conv(method, in_channels, out, kernel, stride, padding, bias_attr=None, **own)
        layers += [conv, nn.ReLU()]
        if pooled:
            layers.append(nn.MaxPool2D(3, 2))
        in_channels = out
    if method == "plain":
        first = [nn.Flatten(), nn.Dropout(0.5), _linear(256 * 36, 4096)]
    else:
        conv = build_conv(method, 256, 4096, 6, padding=0, bias_attr=None, **slots.kwargs)
        first = [nn.Dropout(0.5), conv, nn.Flatten()]
    head = [nn.AdaptiveAvgPool2D(6), *first, nn.ReLU(), nn.Dropout(0.5), _linear(4096, 4096), nn.ReLU()]
    return StagedNet(layers, nn.Sequential(*head, classifier(4096, num_classes)))


def _linear(width_in: int, width_out: int) -> nn.Linear:
    return nn.Linear(width_in, width_out, weight_attr=fan_in_uniform(width_in), bias_attr=fan_in_uniform(width_in))
