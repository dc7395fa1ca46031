"""MobileNet V1 and V2, plain or with octave convolution in the authors' places."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from paddle import nn
from paddle.vision.models import mobilenetv2

from ..layers import OctaveMerge, OctConvBNAct, OctConvBNReLU6
from ..layers.conv import Conv2D
from ..layers.norm import BatchNorm2D
from .staged import build_staged, pooling

# Of each block behind the stem: channels, stride.
V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# Expansion, channels, blocks, stride of the first one.
V2_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
V1_OCTAVE_BLOCKS, V2_OCTAVE_BLOCKS = 10, 13  # the blocks behind these see 7x7 pixels, and have no low group
STRIDES = (2, 4, 8, 16, 32)


def mobilenet_v1(
    alpha: float | None = None,
    scale: float = 1.0,
    num_classes: int = 1000,
    in_channels: int = 3,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
) -> nn.Layer:
    """MobileNetV1 (arXiv 1704.04861): [N, in_channels, H, W] -> logits, or the maps of its five stages.

    Args:
        alpha: share of low-frequency channels in [0, 1), for the octave paper's network; None for the plain one, whose
            parameters are those of paddle.vision's, in its order.
        scale: of all widths.

    Raises:
        ValueError: arguments out of range.
    """
    _check(alpha, scale)
    conv = _conv if alpha is None else _octave_conv
    width, stages, channels = int(32 * scale), [[_conv(in_channels, int(32 * scale), 3, 2)]], []
    for number, (out, stride) in enumerate(V1_BLOCKS, start=1):
        out = int(out * scale)
        if stride == 2:
            channels.append(width)
            stages.append([])
        low_in = alpha if alpha and 1 < number <= V1_OCTAVE_BLOCKS + 1 else 0.0
        low_out = alpha if alpha and number <= V1_OCTAVE_BLOCKS else 0.0
        stages[-1] += [
            conv(width, width, 3, stride, width, alphas=(low_in, low_in)),
            conv(width, out, 1, alphas=(low_in, low_out)),
        ]
        width = out
    if alpha is not None:
        stages[-1].append(OctaveMerge())
    stages = [nn.Sequential(*stage) for stage in stages]
    return build_staged(stages, [*channels, width], STRIDES, pooling(), width, num_classes, features_only, out_indices)


def mobilenet_v2(
    alpha: float | None = None,
    scale: float = 1.0,
    num_classes: int = 1000,
    in_channels: int = 3,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
) -> nn.Layer:
    """MobileNetV2 (arXiv 1801.04381): [N, in_channels, H, W] -> logits, or the maps of its five stages.

    The octave network splits the expanded channels of its first 13 blocks alone; what flows between blocks has full
    resolution. Its first block has an expansion too, and its widths are truncated where the plain network's are rounded
    to multiples of 8, as in the authors' codes.

    Args and errors: see `mobilenet_v1`.
    """
    _check(alpha, scale)
    round_ = partial(_round, scale=scale) if alpha is None else lambda channels: int(channels * scale)
    relu6 = partial(_conv, act=nn.ReLU6)
    width, number, stages, channels = round_(32), 0, [[relu6(in_channels, round_(32), 3, 2)]], []
    for expansion, out, blocks, stride in V2_GROUPS:
        for position in range(blocks):
            number += 1
            step = stride if position == 0 else 1
            if step == 2:
                channels.append(width)
                stages.append([])
            low = alpha if alpha and number <= V2_OCTAVE_BLOCKS else 0.0
            block = _inverted(width, round_(out), step, expansion, relu6, None if alpha is None else low)
            stages[-1].append(block)
            width = round_(out)
    last = int(1280 * max(1.0, scale)) if alpha is not None else _round(1280, max(1.0, scale))
    head = [("conv", relu6(width, last, 1)), *pooling(0.2)]
    stages = [nn.Sequential(*stage) for stage in stages]
    return build_staged(stages, [*channels, width], STRIDES, head, last, num_classes, features_only, out_indices)


class InvertedResidual(mobilenetv2.InvertedResidual):
    """Layers in a row, plus their input where ``residual``: paddle.vision's block around other layers."""

    def __init__(self, layers: Sequence[nn.Layer], residual: bool) -> None:
        nn.Layer.__init__(self)
        self.use_res_connect = residual
        self.conv = nn.Sequential(*layers)


def _inverted(
    width: int, out: int, stride: int, expansion: int, plain: partial, alpha: float | None
) -> InvertedResidual:
    hidden, residual = width * expansion, stride == 1 and width == out
    if alpha is not None:
        layers = [
            _octave_conv(width, hidden, 1, alphas=(0.0, alpha), unit=OctConvBNReLU6),
            _octave_conv(hidden, hidden, 3, stride, hidden, alphas=(alpha, alpha), unit=OctConvBNReLU6),
            OctConvBNAct(hidden, out, 1, act=False, alpha_in=alpha, alpha_out=0.0),
            OctaveMerge(),
        ]
        return InvertedResidual(layers, residual)
    layers = [plain(width, hidden, 1)] if expansion > 1 else []
    layers += [plain(hidden, hidden, 3, stride, hidden), Conv2D(hidden, out, 1), BatchNorm2D(out)]
    return InvertedResidual(layers, residual)


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    alphas: tuple[float, float] = (0.0, 0.0),
    act: type[nn.Layer] = nn.ReLU,
) -> nn.Sequential:
    """Convolution, BatchNorm, activation; ``alphas`` are for octave convolutions."""
    conv = Conv2D(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups)
    return nn.Sequential(conv, BatchNorm2D(out_channels), act())


def _octave_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    alphas: tuple[float, float] = (0.0, 0.0),
    unit: type[nn.Layer] = OctConvBNAct,
) -> nn.Layer:
    places = {"stride": stride, "padding": kernel // 2, "groups": groups}
    return unit(in_channels, out_channels, kernel, alpha_in=alphas[0], alpha_out=alphas[1], **places)


def _round(channels: int, scale: float) -> int:
    """The nearest multiple of 8 that takes away less than a tenth, as MobileNetV2's authors have it."""
    exact = channels * scale
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _check(alpha: float | None, scale: float) -> None:
    if alpha is not None and not 0 <= alpha < 1:
        raise ValueError(f"octave networks need alpha in [0, 1), got {alpha!r}")
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or scale < 1 / 32:
        raise ValueError(f"scale must be a number of at least 1/32, got {scale!r}")
