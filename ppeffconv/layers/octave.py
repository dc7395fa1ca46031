"""OctConv2D: convolution over a pair of full- and half-resolution feature groups (arXiv 1904.05049)."""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.jit import not_to_static

from .. import ops
from ..ops.primitives import shape_of
from .arguments import Attr, layer_arguments, numbered
from .conv import Conv2D, check_channels, check_input, pair, square
from .norm import BatchNorm2D, norm_act
from .untouched import is_untouched

Pair = tuple[Tensor | None, Tensor | None]


def split_channels(channels: int, alpha: float) -> tuple[int, int]:
    """Return (high, low) widths: low = int(alpha * channels), as the official code truncates."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha!r}")
    low = int(alpha * channels)
    return channels - low, low


def downsample2(x: Tensor) -> Tensor:
    """Average pool by 2 with ceil: [N, C, H, W] -> [N, C, ceil(H/2), ceil(W/2)]; border windows average what exists."""
    return ops.octave_pool(x)


def upsample2(x: Tensor, like: Tensor | None = None) -> Tensor:
    """Repeat each pixel 2 x 2 and crop to the size of ``like``: a nearest resize that also fits odd sizes."""
    return ops.octave_upsample(x, None if like is None else shape_of(like)[2:])


def octave_map(function: Callable[[Tensor], Tensor], x: Pair) -> Pair:
    """Apply ``function`` to each group of the pair that exists (ReLU, dropout)."""
    return tuple(None if group is None else function(group) for group in x)


def octave_pool(x: Pair, kind: str = "max") -> Pair:
    """2x2 pooling ("max" or "avg") of both groups; ceil keeps the low one at half the size of the high one."""
    if kind not in ("max", "avg"):
        raise ValueError(f"octave_pool: kind must be 'max' or 'avg', got {kind!r}")
    return octave_map(downsample2 if kind == "avg" else lambda group: F.max_pool2d(group, 2, 2, ceil_mode=True), x)


def octave_add(x: Pair, y: Pair) -> Pair:
    """Residual sum of two pairs, group by group; a missing group counts as zero."""
    return tuple(b if a is None else a if b is None else a + b for a, b in zip(x, y))


def octave_merge(x: Pair) -> Tensor:
    """One full-resolution tensor [N, C_h + C_l, H, W]: the high group and the upsampled low group, concatenated."""
    high, low = x
    if low is None:
        return high
    if high is None:
        return low
    return paddle.concat([high, upsample2(low, high)], axis=1)


def lone_group(x: Tensor | Pair) -> Tensor | Pair:
    """The tensor of a pair that has no low group; anything else as it is."""
    return x[0] if isinstance(x, (tuple, list)) and x[1] is None else x


class OctConv2D(nn.Layer):
    """Octave convolution, Eq. 4 of the paper: pool before, upsample after, each of four kernels at its own resolution.

    Stride 1: ``y_h = W_hh x_h + U(W_lh x_l)``, ``y_l = W_hl P(x_h) + W_ll x_l``. Stride 2 pools by 2 in front and never
    strides a kernel, so that the two grids stay aligned: ``y_h = W_hh P(x_h) + W_lh x_l``,
    ``y_l = W_hl P(P(x_h)) + W_ll P(x_l)``.

    Args:
        in_channels, out_channels: total widths; the low groups hold int(alpha * channels) of them.
        alpha_in, alpha_out: share of low-frequency channels in [0, 1]; 0 has no low group, 1 no high group.
        stride: 1 or 2, for both directions.
        padding: must keep the size (dilation * (kernel_size - 1) / 2) wherever two resolutions meet.
        groups: the same count for all four kernels, as in the official code; in_channels == out_channels == groups is
            depthwise, which needs alpha_in == alpha_out and drops the two exchange paths.
        bias_attr: one bias per output group (default none: a BatchNorm follows).

    Shapes:
        x: (high [N, c_h, H, W], low [N, c_l, ceil(H/2), ceil(W/2)]), or one Tensor when one group is empty.
        returns (high [N, C_h, H', W'], low [N, C_l, ceil(H'/2), ceil(W'/2)]), H' = ceil(H / stride); a missing group
        is None.

    Raises:
        ValueError: alpha outside [0, 1], a stride other than 1 or 2, channels that cannot be grouped, or padding that
            would change the size.
    """

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        alpha_in: float = 0.5,
        alpha_out: float = 0.5,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias_attr: Attr = False,
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels, groups)
        self.stride, self.groups = square(stride, "stride", "OctConv2D", largest=2), groups
        self.in_split = split_channels(in_channels, alpha_in)
        self.out_split = split_channels(out_channels, alpha_out)
        depthwise = groups > 1 and groups == in_channels == out_channels
        if depthwise and self.in_split != self.out_split:
            raise ValueError(f"OctConv2D: depthwise needs alpha_in == alpha_out, got {alpha_in} and {alpha_out}")
        self._check_padding(kernel_size, padding, dilation)

        biased = set()
        for name, source, target in (("h2h", 0, 0), ("h2l", 0, 1), ("l2h", 1, 0), ("l2l", 1, 1)):
            width_in, width_out = self.in_split[source], self.out_split[target]
            if not (width_in and width_out) or (depthwise and source != target):
                continue
            path_groups = width_in if depthwise else groups
            if width_in % path_groups or width_out % path_groups:
                raise ValueError(
                    f"OctConv2D: groups={groups} must divide each group's width, got (high, low) = {self.in_split} -> "
                    f"{self.out_split}; change alpha or groups"
                )
            # one bias per output group, on the first path that exists
            bias = False if target in biased else numbered(bias_attr, target)
            biased.add(target)
            path = Conv2D(width_in, width_out, kernel_size, 1, padding, dilation, path_groups, bias)
            self.add_sublayer(f"conv_{name}", path)

    def _check_padding(self, kernel_size, padding, dilation) -> None:
        if not any(self.in_split[1:] + self.out_split[1:]) or not any(self.in_split[:1] + self.out_split[:1]):
            return  # one resolution only: any padding is well defined
        sizes = (pair(kernel_size, "kernel_size"), pair(padding, "padding", 0), pair(dilation, "dilation"))
        for kernel, pad, step in zip(*sizes):
            if 2 * pad != step * (kernel - 1):
                raise ValueError(
                    "OctConv2D: where two resolutions meet the kernel must keep the size, padding = dilation * "
                    f"(kernel_size - 1) / 2; got kernel_size={kernel_size}, padding={padding}, dilation={dilation}"
                )

    def forward(self, x: Tensor | Pair) -> Pair:
        high, low = self._as_pair(x)
        pooled = downsample2(high) if high is not None and (self.stride == 2 or self.out_split[1]) else None
        if self.stride == 2:
            y_high = self._sum((pooled, low), "conv_h2h", "conv_l2h")
            pooled, low = octave_map(downsample2, (pooled, low)) if self.out_split[1] else (None, None)
        else:
            y_high, from_low = self._path("conv_h2h", high), self._path("conv_l2h", low)
            if from_low is not None:
                y_high = upsample2(from_low) if y_high is None else ops.octave_upsample_add(y_high, from_low)
        return y_high, self._sum((pooled, low), "conv_h2l", "conv_l2l")

    def _sum(self, x: Pair, from_high: str, from_low: str) -> Tensor | None:
        """Two paths that meet at one resolution.

        In training they are one convolution of the stacked groups: fewer and larger products are faster, and no sum is
        left to do. Evaluation calls the layers, so that their multiply-adds are counted; and so does training where
        they are other layers than ours, or somebody's hooks wait for the call.
        """
        names = (from_high, from_low)
        paths = [self._sub_layers.get(name) for name in names]
        if self.training and self.groups == 1 and all(is_untouched(path, Conv2D) for path in paths):
            first, second = paths
            weight = paddle.concat([first.weight, second.weight], axis=1)
            return ops.conv2d(paddle.concat(x, axis=1), weight, first.bias, 1, first._padding, first._dilation)
        return octave_add(*((self._path(name, group),) for name, group in zip(names, x)))[0]

    def _path(self, name: str, x: Tensor | None) -> Tensor | None:
        return None if x is None or name not in self._sub_layers else self._sub_layers[name](x)

    def _as_pair(self, x: Tensor | Pair) -> Pair:
        if not isinstance(x, (tuple, list)):
            if all(self.in_split):
                raise ValueError(f"OctConv2D expects a pair (high, low) of {self.in_split} channels, got one tensor")
            x = (x, None) if self.in_split[0] else (None, x)
        if len(x) != 2:
            raise ValueError(f"OctConv2D expects a pair (high, low), got {len(x)} tensors")
        for group, width, name in zip(x, self.in_split, ("high", "low")):
            if (group is None) != (width == 0):
                raise ValueError(f"OctConv2D: the {name} group must have {width} channels, got {_describe(group)}")
            if group is not None:
                check_input(group, width, f"OctConv2D ({name} group)")
        high, low = x
        if high is not None and low is not None:
            _check_sizes(high, low)
        return high, low


@not_to_static  # sizes that are not known while a graph is traced are not to be compared
def _check_sizes(high: Tensor, low: Tensor) -> None:
    for size, got in zip(high.shape[2:], low.shape[2:]):
        if min(size, got) >= 0 and got != (size + 1) // 2:
            half = [(size + 1) // 2 for size in high.shape[2:]]
            raise ValueError(
                f"OctConv2D: a high group of {high.shape[2:]} needs a low group of {half}, got {low.shape[2:]}"
            )


def _describe(group: Tensor | None) -> str:
    return "none" if group is None else f"shape {list(group.shape)}"


class OctConvBNAct(nn.Layer):
    """OctConv2D, a BatchNorm per group after the sum of its paths, and (optionally) ReLU; arguments as in OctConv2D."""

    @layer_arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, act: bool = True, **kwargs) -> None:
        super().__init__()
        self.conv = OctConv2D(in_channels, out_channels, kernel_size, **kwargs)
        high, low = self.conv.out_split
        self.bn_h = BatchNorm2D(high) if high else None
        self.bn_l = BatchNorm2D(low) if low else None
        self.act = act

    def forward(self, x: Tensor | Pair, residual: Pair = (None, None)) -> Pair:
        """``residual``, a pair as the output, is added between BatchNorm and ReLU."""
        norms = (self.bn_h, self.bn_l)
        return tuple(
            None if group is None else norm_act(norm, group, skip, self.act)
            for group, norm, skip in zip(self.conv(x), norms, residual)
        )
