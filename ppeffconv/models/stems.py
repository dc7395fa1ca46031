"""The first layers of a residual network: what maps the image to the first stage's input."""

from __future__ import annotations

from paddle import nn

from ..layers.norm import BatchNorm2D
from .blocks import ConvSlots, StemBottleneck

STEMS = ("imagenet", "cifar", "deep", "deep_v1f")


def build_stem(stem: str, slots: ConvSlots, in_channels: int, width: int) -> tuple[nn.Layer, nn.Layer | None, int]:
    """What comes before the stem's BatchNorm (of ``width`` channels) and ReLU, what comes after them, and the stride.

    Args:
        stem: "imagenet" (7x7 stride 2, max pooling), "cifar" (3x3), "deep" (ResNet-D's: three 3x3 in place of the 7x7,
            arXiv 1812.01187, Fig. 2b) or "deep_v1f" (of the octave authors' v1f: the same, the first one narrow and at
            full resolution, and a strided bottleneck in place of max pooling).

    Raises:
        ValueError: an unknown stem.
    """
    if stem == "imagenet":
        return slots.stem(in_channels, width, 7, 2), nn.MaxPool2D(3, 2, 1), 4
    if stem == "cifar":
        return slots.stem(in_channels, width, 3, 1), None, 1
    if stem == "deep":
        return _three(slots, in_channels, (width // 2, width // 2, width), (2, 1, 1)), nn.MaxPool2D(3, 2, 1), 4
    if stem == "deep_v1f":
        convs = _three(slots, in_channels, (width // 8, width // 2, width), (1, 2, 1))
        return convs, StemBottleneck(slots, width, width // StemBottleneck.expansion, 2), 4
    raise ValueError(f"ResNet: stem must be one of {', '.join(map(repr, STEMS))}, got {stem!r}")


def _three(
    slots: ConvSlots, in_channels: int, widths: tuple[int, int, int], strides: tuple[int, int, int]
) -> nn.Sequential:
    """Three 3x3 convolutions, with BatchNorm and ReLU after the first two."""
    layers: list[nn.Layer] = []
    for width, stride in zip(widths, strides):
        layers += [slots.stem(in_channels, width, 3, stride), BatchNorm2D(width), nn.ReLU()]
        in_channels = width
    return nn.Sequential(*layers[:-2])
