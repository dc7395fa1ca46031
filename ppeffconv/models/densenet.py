"""DenseNet, plain or with octave convolution."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn

from ..layers import Conv2D, OctaveAvgPool2D, OctaveMerge, OctaveNormAct, OctConv2D
from ..layers.norm import BatchNorm2D
from ..layers.octave import Pair, split_channels
from .staged import build_staged, pooling

BOTTLENECK = 4
"""Width of a layer's inner map, in growth rates."""
STRIDES = (4, 8, 16, 32)
Split = tuple[int, int]


def densenet(
    blocks: Sequence[int],
    growth: int = 32,
    width: int = 64,
    alpha: float | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
) -> nn.Layer:
    """DenseNet-BC (arXiv 1608.06993): [N, in_channels, H, W] -> logits, or the maps of its four stages.

    Args:
        blocks: layers of each dense block.
        growth: channels that a layer adds.
        width: of the stem.
        alpha: share of low-frequency channels in [0, 1), for the octave paper's network, whose last block has none;
            None for the plain one, whose parameters are those of paddle.vision's, in its order.

    Raises:
        ValueError: alpha out of range.
    """
    if alpha is not None and not 0 <= alpha < 1:
        raise ValueError(f"octave networks need alpha in [0, 1), got {alpha!r}")
    stem = [Conv2D(in_channels, width, 7, 2, 3), BatchNorm2D(width), nn.ReLU(), nn.MaxPool2D(3, 2, 1)]
    stages, channels, split = [stem], [], (width, 0)
    for number, depth in enumerate(blocks, start=1):
        low = alpha if alpha and number < len(blocks) else 0.0
        if number > 1:
            out = split_channels(sum(split) // 2, low)
            stages.append([*_norm_conv(split, out, 1, alpha is None), _pool(alpha is None)])
            split = out
        added = split_channels(growth, low)
        inner = split_channels(growth * BOTTLENECK, low)
        for _ in range(depth):
            stages[-1].append(DenseLayer(split, inner, added, alpha is None))
            split = (split[0] + added[0], split[1] + added[1])
        channels.append(sum(split))
    head = [("norm", BatchNorm2D(channels[-1])), ("relu", nn.ReLU()), *pooling()]
    if alpha is not None:
        stages[-1].append(OctaveMerge())
    stages = [nn.Sequential(*stage) for stage in stages]
    return build_staged(stages, channels, STRIDES, head, channels[-1], num_classes, features_only, out_indices)


class DenseLayer(nn.Layer):
    """The input and, concatenated to it, what two convolutions make of it (of each group, for octave pairs).

    Args:
        split, inner, added: widths (high, low) of the input, between the convolutions, and of what is added.
        plain: tensors flow instead of pairs.
    """

    def __init__(self, split: Split, inner: Split, added: Split, plain: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_norm_conv(split, inner, 1, plain), *_norm_conv(inner, added, 3, plain))

    def forward(self, x: Tensor | Pair) -> Tensor | Pair:
        y = self.layers(x)
        if not isinstance(y, (tuple, list)):
            return paddle.concat([x, y], axis=1)
        x = x if isinstance(x, (tuple, list)) else (x, None)
        return tuple(b if a is None else a if b is None else paddle.concat([a, b], axis=1) for a, b in zip(x, y))


def _norm_conv(split: Split, out: Split, kernel: int, plain: bool) -> list[nn.Layer]:
    """BatchNorm, ReLU, convolution."""
    width, out_width = sum(split), sum(out)
    if plain:
        return [BatchNorm2D(width), nn.ReLU(), Conv2D(width, out_width, kernel, padding=kernel // 2)]
    conv = OctConv2D(width, out_width, kernel, _alpha(split), _alpha(out), padding=kernel // 2)
    return [OctaveNormAct(split), conv]


def _alpha(split: Split) -> float:
    """The share by which `split_channels` gives this split: half a channel more, because it truncates."""
    return (split[1] + 0.5) / sum(split) if split[1] else 0.0


def _pool(plain: bool) -> nn.Layer:
    return nn.AvgPool2D(2, 2) if plain else OctaveAvgPool2D()
