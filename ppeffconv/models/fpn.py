"""The feature pyramid network (arXiv 1612.03144) with a conv slot and a slot for the upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from paddle import Tensor, nn
from paddle.jit import not_to_static

from .. import ops
from ..layers import NearestUpsample2D, build_conv, build_upsample
from ..layers.conv import Conv2D, check_channels, zero_bias
from ..ops.primitives import crop2d, shape_of, subsample2d
from ..utils.numbers import plain_arguments
from .vgg import BIASED


class FPN(nn.Layer):
    """Feature maps of a backbone -> maps of one width: ``p_i = conv(m_i)``, ``m_i = lateral(c_i) + up(m_{i+1})``.

    The two slots take any 3x3 convolution and any upsampling by 2. Between levels of the same stride, as a dilated
    backbone has, nothing is upsampled (a dilated FPN). A level of odd size H sits above one of ceil(H / 2): the
    upsampled map, 2 * ceil(H / 2) wide, loses its last row or column, so that pixels stay aligned with their stride.

    Args:
        in_channels, in_strides: of the backbone's maps, from fine to coarse: a `ResNet`'s ``feature_channels`` and
            ``feature_strides``. A stride is the one before it or its double.
        out_channels: width of every output.
        conv: method of the 3x3 output convolutions, any of `layers.build_conv` that maps a tensor to a tensor.
        conv_kwargs: the method's own arguments.
        upsample: see `layers.build_upsample`.
        upsample_kwargs: its own arguments.
        extra_levels: 1 adds a coarsest map of every other pixel of the last one (P6 of Faster R-CNN).

    Shapes:
        list of [N, in_channels[i], H_i, W_i] -> list of [N, out_channels, H_i, W_i], and with an extra level
        [N, out_channels, ceil(H / 2), ceil(W / 2)] of the last one.

    Attributes:
        feature_channels, feature_strides: of the outputs.

    Raises:
        ValueError: arguments out of range, a slot that the method cannot fill, or maps whose sizes do not fit.
    """

    @plain_arguments
    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int] = (4, 8, 16, 32),
        out_channels: int = 256,
        conv: str = "plain",
        conv_kwargs: dict[str, Any] | None = None,
        upsample: str = "nearest",
        upsample_kwargs: dict[str, Any] | None = None,
        extra_levels: int = 0,
    ) -> None:
        super().__init__()
        _check_levels(in_channels, in_strides, extra_levels)
        check_channels(out_channels, out_channels)
        self.in_channels, self.extra_levels = tuple(in_channels), extra_levels
        self.lateral_convs = nn.LayerList([_linear(width, out_channels, 1) for width in in_channels])
        self.fpn_convs = nn.LayerList([_output_conv(conv, out_channels, conv_kwargs or {}) for _ in in_channels])
        # upsamples[i] brings level i + 1 to level i
        self.upsamples = nn.LayerList(
            [
                nn.Identity() if fine == coarse else build_upsample(upsample, out_channels, **(upsample_kwargs or {}))
                for fine, coarse in pairwise(in_strides)
            ]
        )
        self.feature_strides = (*in_strides, *[2 * in_strides[-1]] * extra_levels)
        self.feature_channels = (out_channels,) * len(self.feature_strides)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        if len(features) != len(self.in_channels):
            raise ValueError(f"FPN expects {len(self.in_channels)} feature maps, got {len(features)}")
        maps = [lateral(feature) for lateral, feature in zip(self.lateral_convs, features)]
        for i in range(len(maps) - 2, -1, -1):
            maps[i] = _add(maps[i], maps[i + 1], self.upsamples[i])
        maps = [conv(x) for conv, x in zip(self.fpn_convs, maps)]
        if self.extra_levels:
            maps.append(subsample2d(maps[-1], 2))
        return maps


def _add(lateral: Tensor, coarse: Tensor, upsample: nn.Layer) -> Tensor:
    """``lateral + upsample(coarse)``, cropped to the lateral's size."""
    scale = 1 if isinstance(upsample, nn.Identity) else 2
    _check_sizes(lateral, coarse, scale)
    if isinstance(upsample, NearestUpsample2D):
        return ops.octave_upsample_add(lateral, coarse)  # in one pass
    if scale == 1:
        return lateral + coarse
    return lateral + crop2d(upsample(coarse), 0, 0, *shape_of(lateral)[2:])


@not_to_static  # pure checks: nothing to trace
def _check_sizes(lateral: Tensor, coarse: Tensor, scale: int) -> None:
    """-1 is a size that is not known while a graph is traced, and fits anything."""
    for fine, size in zip(lateral.shape[2:], coarse.shape[2:]):
        if min(fine, size) >= 0 and size != -(-fine // scale):
            expected = [-(-side // scale) for side in lateral.shape[2:]]
            raise ValueError(
                f"FPN: beside a map of {list(lateral.shape[2:])} the next one, of {scale} times its stride, must have "
                f"{expected}, got {list(coarse.shape[2:])}; give the backbone's in_strides"
            )


def _linear(in_channels: int, out_channels: int, kernel_size: int) -> Conv2D:
    """A convolution that no ReLU follows: Xavier, bias 0."""
    conv = Conv2D(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias_attr=zero_bias())
    nn.initializer.XavierUniform()(conv.weight)
    return conv


def _output_conv(method: str, channels: int, kwargs: dict[str, Any]) -> nn.Layer:
    if method == "plain":
        return _linear(channels, channels, 3)
    if method == "oct":
        raise ValueError("FPN: conv method 'oct' maps pairs of groups, and the maps of a pyramid are single tensors")
    return build_conv(method, channels, channels, 3, bias_attr=zero_bias() if method in BIASED else False, **kwargs)


def _check_levels(in_channels: Sequence[int], in_strides: Sequence[int], extra_levels: int) -> None:
    if not in_channels or len(in_channels) != len(in_strides):
        raise ValueError(
            f"FPN: in_channels and in_strides must name the same levels, got {tuple(in_channels)}, {tuple(in_strides)}"
        )
    if any(coarse not in (fine, 2 * fine) for fine, coarse in pairwise(in_strides)):
        raise ValueError(f"FPN: each stride must be the one before it or its double, got {tuple(in_strides)}")
    if extra_levels not in (0, 1):
        raise ValueError(f"FPN: extra_levels must be 0 or 1, got {extra_levels!r}")
