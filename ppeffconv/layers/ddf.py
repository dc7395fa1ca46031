"""Decoupled dynamic filters: DDF2D, its filter normalisation, and the upsampler DDFUpsample2D (arXiv 2104.14107)."""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.jit import not_to_static

from .. import ops
from ..ops.primitives import global_mean, has_size, shape_of
from ..utils.numbers import as_size, is_number, is_size, plain_arguments
from .arguments import layer_arguments
from .conv import Conv2D, check_channels, check_input, square

RELU_GAIN = math.sqrt(2.0)


class FilterNorm(nn.Layer):
    """Filter normalisation (Eq. 3): standardise generated filters over their k*k taps, then scale.

    The spatial filters are scaled by the constant gain / k, the channel filters by a learned factor per channel and
    tap, ``std`` ~ N(0, 1) * gain / k, as in the authors' code. There is no shift, and nothing is a running statistic.

    Args:
        channels: filters that are normalised separately (heads for "spatial").
        filter_type: "spatial" or "channel".
        gain: sqrt(2) before a ReLU, 1 for a linear output.

    Shapes:
        [N, channels * k * k, H, W] -> the same; filter f owns channels [f * k * k, (f + 1) * k * k).
    """

    @plain_arguments
    def __init__(self, channels: int, kernel_size: int, filter_type: str, gain: float = RELU_GAIN) -> None:
        super().__init__()
        if filter_type not in ("spatial", "channel"):
            raise ValueError(f"FilterNorm: filter_type must be 'spatial' or 'channel', got {filter_type!r}")
        as_size(channels, "FilterNorm: channels")
        kernel_size = square(kernel_size, "kernel_size", "FilterNorm")
        self.channels, self.taps = channels, kernel_size * kernel_size
        self.scale = gain / kernel_size
        self.std = None
        if filter_type == "channel":
            attr = paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, self.scale))
            self.std = self.create_parameter([channels * self.taps], attr=attr)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels * self.taps, "FilterNorm")
        std = None if self.std is None else self.std.astype(x.dtype)
        if std is not None and has_size(x, 1, 1):  # filters of pooled maps
            shape = [self.channels, self.taps]
            return ops.filter_norm(x.reshape([0, *shape]), 2, std.reshape(shape)).reshape([0, -1, 1, 1])
        grouped = x.reshape([0, self.channels, self.taps, -1])
        normal = ops.filter_norm(grouped, 2, self.scale if std is None else 1.0)
        normal = normal.reshape([0, self.channels * self.taps, *shape_of(x)[2:]])
        return normal if std is None else normal * std.reshape([1, -1, 1, 1])


class DDF2D(nn.Layer):
    """Decoupled dynamic filter module: filters its input with kernels that it predicts from that input.

    A 1x1 convolution predicts one k x k kernel per pixel and head; pooling and two 1x1 convolutions predict one per
    channel; `ppeffconv.ops.ddf` applies both. Depthwise: widths do not change.

    Args:
        channels: width C.
        kernel_size: odd k.
        stride, dilation: of the filtering.
        heads: channel groups with a spatial kernel of their own; must divide channels.
        se_ratio: sigma; the channel branch's hidden width is max(1, int(sigma * channels)).
        mode: "mul" or "add", how the two kernels combine.
        backend: see `ppeffconv.ops.ddf`.

    Shapes:
        [N, C, H, W] -> [N, C, ceil(H / stride), ceil(W / stride)]

    Raises:
        ValueError: even kernel_size, unknown mode, heads that do not divide channels, se_ratio <= 0.
    """

    @layer_arguments
    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        heads: int = 1,
        se_ratio: float = 0.2,
        mode: str = "mul",
        backend: str = "auto",
    ) -> None:
        super().__init__()
        kernel_size, dilation = square(kernel_size, "kernel_size", "DDF2D"), square(dilation, "dilation", "DDF2D")
        _check_module("DDF2D", channels, kernel_size, heads, se_ratio, mode)
        stride = square(stride, "stride", "DDF2D")
        self.channels, self.kernel_size, self.heads = channels, kernel_size, heads
        self.stride, self.dilation, self.mode, self.backend = stride, dilation, mode, backend
        taps = kernel_size * kernel_size
        self.spatial_branch = nn.Sequential(
            Conv2D(channels, heads * taps, 1, stride, bias_attr=None), FilterNorm(heads, kernel_size, "spatial")
        )
        self.channel_branch = _channel_branch(channels, kernel_size, se_ratio, RELU_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels, "DDF2D")
        return _apply_filters(x, self.channel_branch(x), self.spatial_branch(x), self)

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of the filtering: one per tap and output, as the paper counts (combining is not counted)."""
        return outputs.size * self.kernel_size**2


class DDFUpsample2D(nn.Layer):
    """DDF-Up: scale * scale DDF modules filter the same input, each filling one sub-pixel position.

    Branch ``scale * sy + sx`` fills output pixel (scale * y + sy, scale * x + sx). The channel filters come from the
    input; the spatial filters from the guide, or, without one, from the input through a depthwise convolution per
    branch.

    Args:
        channels: width C of the input and the output.
        scale: integer upsampling factor.
        guide_channels: width of the guide; None for self-guided.
        kernel_size, dilation, heads, se_ratio, mode, backend: as in `DDF2D`.
        dw_kernel_size: of the self-guided depthwise convolution, odd.

    Shapes:
        x: [N, C, h, w]; guide: [N, guide_channels, h, w], of the size of x (resize a larger one first).
        returns [N, C, scale * h, scale * w].

    Raises:
        ValueError: as `DDF2D`; a guide that is missing, not expected, or of another size.
    """

    @layer_arguments
    def __init__(
        self,
        channels: int,
        scale: int = 2,
        guide_channels: int | None = None,
        kernel_size: int = 3,
        dilation: int = 1,
        heads: int = 1,
        se_ratio: float = 0.2,
        mode: str = "mul",
        dw_kernel_size: int = 3,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        kernel_size = square(kernel_size, "kernel_size", "DDFUpsample2D")
        dilation = square(dilation, "dilation", "DDFUpsample2D")
        _check_module("DDFUpsample2D", channels, kernel_size, heads, se_ratio, mode)
        as_size(scale, "DDFUpsample2D: scale")
        as_size(dw_kernel_size, "DDFUpsample2D: dw_kernel_size", odd=True)
        self.channels, self.scale, self.guide_channels = channels, scale, guide_channels
        self.kernel_size, self.dilation, self.heads = kernel_size, dilation, heads
        self.stride, self.mode, self.backend = 1, mode, backend
        self.spatial_branches = nn.LayerList([self._spatial_branch(dw_kernel_size) for _ in range(scale**2)])
        self.channel_branches = nn.LayerList(
            [_channel_branch(channels, kernel_size, se_ratio, gain=1.0) for _ in range(scale**2)]
        )

    def _spatial_branch(self, dw_kernel_size: int) -> nn.Sequential:
        width = self.guide_channels or self.channels
        predict = Conv2D(width, self.heads * self.kernel_size**2, 1, bias_attr=None)
        norm = FilterNorm(self.heads, self.kernel_size, "spatial", gain=1.0)
        if self.guide_channels is not None:
            return nn.Sequential(predict, norm)
        depthwise = Conv2D(width, width, dw_kernel_size, 1, dw_kernel_size // 2, groups=width, bias_attr=None)
        return nn.Sequential(depthwise, predict, norm)

    def forward(self, x: Tensor, guide: Tensor | None = None) -> Tensor:
        check_input(x, self.channels, "DDFUpsample2D")
        guide = self._check_guide(x, guide)
        pooled = global_mean(x)  # what every channel branch pools, computed once
        branches = zip(self.channel_branches, self.spatial_branches)
        filtered = [_apply_filters(x, channel(pooled), spatial(guide), self) for channel, spatial in branches]
        return interleave(filtered, self.scale)

    def _check_guide(self, x: Tensor, guide: Tensor | None) -> Tensor:
        if self.guide_channels is None:
            if guide is not None:
                raise ValueError("DDFUpsample2D is self-guided; give guide_channels at construction to use a guide")
            return x
        if guide is None:
            raise ValueError(f"DDFUpsample2D expects a guide [N, {self.guide_channels}, h, w] beside its input")
        check_input(guide, self.guide_channels, "DDFUpsample2D (guide)")
        _check_guide_size(x, guide)
        return guide

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of the filtering: one per tap and output."""
        return outputs.size * self.kernel_size**2


@not_to_static  # sizes that are not known while a graph is traced are not to be compared
def _check_guide_size(x: Tensor, guide: Tensor) -> None:
    if any(a != b and min(a, b) >= 0 for a, b in zip(guide.shape[2:], x.shape[2:])):
        raise ValueError(
            f"DDFUpsample2D: the guide must have the input's size {x.shape[2:]}, got {guide.shape[2:]}; resize it"
        )


class DDFSeparable2D(nn.Sequential):
    """DDF2D followed by a 1x1 convolution that mixes channels and changes width: [N, in, H, W] -> [N, out, OH, OW].

    Ours, for blocks without 1x1 convolutions of their own (BasicBlock, VGG), where the paper's layout is unpublished.
    """

    @layer_arguments
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, **kwargs) -> None:
        super().__init__(DDF2D(in_channels, stride=stride, **kwargs), Conv2D(in_channels, out_channels, 1))


def interleave(maps: list[Tensor], scale: int) -> Tensor:
    """Map ``scale * sy + sx``, [N, C, h, w], fills the pixels (scale * y + sy, scale * x + sx) of the output."""
    channels, height, width = shape_of(maps[0])[1:]
    stacked = paddle.stack(maps, axis=2).reshape([0, channels * scale**2, height, width])
    return F.pixel_shuffle(stacked, scale)


def _channel_branch(channels: int, kernel_size: int, se_ratio: float, gain: float) -> nn.Sequential:
    """Pool, squeeze to max(1, int(sigma * C)), expand, normalise: [N, C, H, W] -> filters [N, C * k * k, 1, 1]."""
    hidden = max(1, int(channels * se_ratio))
    return nn.Sequential(
        nn.AdaptiveAvgPool2D(1),
        Conv2D(channels, hidden, 1, bias_attr=None),
        nn.ReLU(),
        Conv2D(hidden, channels * kernel_size**2, 1, bias_attr=None),
        FilterNorm(channels, kernel_size, "channel", gain),
    )


def _apply_filters(x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, module: nn.Layer) -> Tensor:
    """Run `ops.ddf` with heads folded into the batch: head h owns channels [h * C / g, (h + 1) * C / g)."""
    heads, taps, width = module.heads, module.kernel_size**2, module.channels // module.heads
    out = shape_of(spatial_filter)[2:]
    channel_filter = channel_filter.reshape([0, module.channels, taps])
    if heads > 1:
        x = x.reshape([-1, width, *shape_of(x)[2:]])
        channel_filter = channel_filter.reshape([-1, width, taps])
        spatial_filter = spatial_filter.reshape([-1, taps, *out])
    y = ops.ddf(
        x,
        channel_filter.astype(x.dtype),
        spatial_filter.astype(x.dtype),
        module.kernel_size,
        module.stride,
        module.dilation,
        module.mode,
        module.backend,
    )
    return y if heads == 1 else y.reshape([-1, module.channels, *out])


def _check_module(layer: str, channels: int, kernel_size: int, heads: int, se_ratio: float, mode: str) -> None:
    check_channels(channels, channels)
    # one tap minus its own mean is zero, so FilterNorm leaves nothing of a 1x1 kernel
    as_size(kernel_size, f"{layer}: kernel_size", minimum=3, odd=True)
    if not is_size(heads) or channels % heads:
        raise ValueError(f"{layer}: heads must divide channels={channels}, got {heads!r}")
    if not is_number(se_ratio) or not se_ratio > 0:
        raise ValueError(f"{layer}: se_ratio must be positive, got {se_ratio!r}")
    if mode not in ops.DDF_MODES:
        raise ValueError(f"{layer}: mode must be 'mul' or 'add', got {mode!r}")
