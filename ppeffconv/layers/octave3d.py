"""OctConv3D: octave convolution of videos, whose low-frequency group has half the height and width of each frame."""

from __future__ import annotations

import math

from paddle import Tensor, nn
from paddle.jit import not_to_static

from .. import ops
from ..ops.primitives import is_float
from ..utils.numbers import is_shape
from .arguments import Attr, bias_attribute, layer_arguments, numbered
from .conv import check_channels, fan_in_uniform, square
from .octave import Pair, downsample2, octave_add, octave_map, split_channels

Triple = tuple[int, int, int]


class Conv3D(nn.Conv3D):
    """Convolution [N, in, T, H, W] -> [N, out, OT, OH, OW] with Kaiming fan-out weights and, by default, no bias."""

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple,
        stride: Triple = (1, 1, 1),
        padding: Triple = (0, 0, 0),
        bias_attr: Attr = False,
    ) -> None:
        check_channels(in_channels, out_channels)
        std = math.sqrt(2.0 / (out_channels * math.prod(kernel_size)))
        bias_attr = bias_attribute(bias_attr, fan_in_uniform(in_channels * math.prod(kernel_size)))
        weight = nn.initializer.Normal(0.0, std)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, weight_attr=weight, bias_attr=bias_attr
        )


class OctConv3D(nn.Layer):
    """Octave convolution, Eq. 4 of arXiv 1904.05049, on videos: time is left as it is, frames are halved.

    Stride 1: ``y_h = W_hh x_h + U(W_lh x_l)``, ``y_l = W_hl P(x_h) + W_ll x_l``, where P averages 2x2 pixels and U
    repeats each one, frame by frame. Stride 2 pools in front, as in `OctConv2D`.

    Args:
        in_channels, out_channels: total widths; the low groups hold int(alpha * channels) of them.
        kernel_size: odd (frames, height, width); padding keeps the size.
        alpha_in, alpha_out: share of low-frequency channels in [0, 1].
        stride: of height and width, 1 or 2.
        bias_attr: as in `Conv2D`, for one bias per output group.

    Shapes:
        x: (high [N, c_h, T, H, W], low [N, c_l, T, ceil(H/2), ceil(W/2)]), or one Tensor when one group is empty;
        returns (high [N, C_h, T, H', W'], low [N, C_l, T, ceil(H'/2), ceil(W'/2)]), H' = ceil(H / stride); a missing
        group is None.

    Raises:
        ValueError: alpha outside [0, 1], a stride other than 1 or 2, an even kernel, or an input of another shape.
    """

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple,
        alpha_in: float = 0.5,
        alpha_out: float = 0.5,
        stride: int = 1,
        bias_attr: Attr = False,
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels)
        if not is_shape(kernel_size, 3) or any(size % 2 == 0 for size in kernel_size):
            raise ValueError(f"OctConv3D: kernel_size must be three odd integers (T, H, W), got {kernel_size!r}")
        self.stride = square(stride, "stride", "OctConv3D", largest=2)
        self.in_split = split_channels(in_channels, alpha_in)
        self.out_split = split_channels(out_channels, alpha_out)
        padding = tuple(size // 2 for size in kernel_size)
        biased = set()
        for name, source, target in (("h2h", 0, 0), ("h2l", 0, 1), ("l2h", 1, 0), ("l2l", 1, 1)):
            width_in, width_out = self.in_split[source], self.out_split[target]
            if width_in and width_out:
                # one bias per output group, on the first path
                bias = False if target in biased else numbered(bias_attr, target)
                biased.add(target)
                path = Conv3D(width_in, width_out, tuple(kernel_size), padding=padding, bias_attr=bias)
                self.add_sublayer(f"conv_{name}", path)

    def forward(self, x: Tensor | Pair) -> Pair:
        high, low = self._as_pair(x)
        to_low = self.out_split[1] > 0
        pooled = _halve(high) if high is not None and (self.stride == 2 or to_low) else None
        if self.stride == 2:
            y_high = self._sum((pooled, low), "conv_h2h", "conv_l2h")
            pooled, low = octave_map(_halve, (pooled, low)) if to_low else (None, None)
        else:
            y_high = _add_upsampled(self._path("conv_h2h", high), self._path("conv_l2h", low))
        return y_high, self._sum((pooled, low), "conv_h2l", "conv_l2l")

    def _sum(self, x: Pair, from_high: str, from_low: str) -> Tensor | None:
        return octave_add((self._path(from_high, x[0]),), (self._path(from_low, x[1]),))[0]

    def _path(self, name: str, x: Tensor | None) -> Tensor | None:
        return None if x is None or name not in self._sub_layers else self._sub_layers[name](x)

    def _as_pair(self, x: Tensor | Pair) -> Pair:
        if not isinstance(x, (tuple, list)):
            x = (x, None) if self.in_split[0] else (None, x)
        for group, width, name in zip(x, self.in_split, ("high", "low")):
            if (group is None) != (width == 0):
                raise ValueError(f"OctConv3D: the {name} group must have {width} channels, got {_describe(group)}")
            if group is not None and (group.ndim != 5 or group.shape[1] != width or not is_float(group)):
                raise ValueError(f"OctConv3D ({name} group) expects [N, {width}, T, H, W], got {_describe(group)}")
        high, low = x
        if high is not None and low is not None:
            _check_sizes(high, low)
        return high, low


@not_to_static  # sizes that are not known while a graph is traced are not to be compared
def _check_sizes(high: Tensor, low: Tensor) -> None:
    half = [high.shape[2], *((size + 1) // 2 for size in high.shape[3:])]
    if any(a != b for a, b, size in zip(low.shape[2:], half, high.shape[2:]) if min(a, size) >= 0):
        raise ValueError(
            f"OctConv3D: a high group of {high.shape[2:]} needs a low group of {half}, got {low.shape[2:]}"
        )


class OctConv3DBNAct(nn.Layer):
    """OctConv3D, a BatchNorm per group after the sum of its paths, and (optionally) ReLU; arguments as in OctConv3D."""

    @layer_arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size: Triple, act: bool = True, **kwargs) -> None:
        super().__init__()
        self.conv = OctConv3D(in_channels, out_channels, kernel_size, **kwargs)
        high, low = self.conv.out_split
        self.bn_h = nn.BatchNorm3D(high) if high else None
        self.bn_l = nn.BatchNorm3D(low) if low else None
        self.act = act

    def forward(self, x: Tensor | Pair) -> Pair:
        norms = (self.bn_h, self.bn_l)
        y = tuple(None if group is None else norm(group) for group, norm in zip(self.conv(x), norms))
        return octave_map(nn.functional.relu, y) if self.act else y


def _halve(x: Tensor) -> Tensor:
    """P: channels and frames are alike to it."""
    return downsample2(x.flatten(1, 2)).unflatten(1, [x.shape[1], -1])


def _add_upsampled(high: Tensor | None, low: Tensor | None) -> Tensor | None:
    """``high + U(low)``, where a missing term counts as zero."""
    if low is None:
        return high
    if high is None:
        return ops.octave_upsample(low.flatten(1, 2)).unflatten(1, [low.shape[1], -1])
    return ops.octave_upsample_add(high.flatten(1, 2), low.flatten(1, 2)).unflatten(1, [high.shape[1], -1])


def _describe(group: Tensor | None) -> str:
    return "none" if group is None else f"shape {list(group.shape)}, {group.dtype}"
