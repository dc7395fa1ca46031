"""Octave convolution (arXiv 1904.05049): two groups of channels, one at half the resolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor | None]


def pool(x: Tensor) -> Tensor:
    """Average pooling by 2 with ceil."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


class OctConv(nn.Module):
    """Convolution of pairs (high, low) that keeps the size or, with stride 2, halves it."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, alpha_in: float, alpha_out: float, stride: int
    ) -> None:
        super().__init__()
        low_in, low_out = int(alpha_in * in_channels), int(alpha_out * out_channels)
        self.stride = stride

        def path(width_in: int, width_out: int) -> nn.Conv2d | None:
            return nn.Conv2d(width_in, width_out, kernel_size, padding=kernel_size // 2, bias=False)

        self.conv_h2h = path(in_channels - low_in, out_channels - low_out)
        self.conv_h2l = path(in_channels - low_in, low_out) if low_out else None
        self.conv_l2h = path(low_in, out_channels - low_out) if low_in else None
        self.conv_l2l = path(low_in, low_out) if low_in and low_out else None

    def forward(self, x: Pair) -> Pair:
        high, low = x
        if self.stride == 2:
            high = pool(high)
        y_high = self.conv_h2h(high)
        if self.conv_l2h is not None:
            from_low = self.conv_l2h(low)
            if self.stride == 1:
                from_low = F.interpolate(from_low, scale_factor=2)[:, :, : high.shape[2], : high.shape[3]]
            y_high = y_high + from_low
        if self.conv_h2l is None:
            return y_high, None
        y_low = self.conv_h2l(pool(high))
        if self.conv_l2l is not None:
            y_low = y_low + self.conv_l2l(pool(low) if self.stride == 2 else low)
        return y_high, y_low


class OctConvBNAct(nn.Module):
    """OctConv, BatchNorm per group, and (optionally) ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        alpha_in: float,
        alpha_out: float,
        stride: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = OctConv(in_channels, out_channels, kernel_size, alpha_in, alpha_out, stride)
        low = int(alpha_out * out_channels)
        self.bn_h, self.bn_l = nn.BatchNorm2d(out_channels - low), nn.BatchNorm2d(low) if low else None
        self.act = act

    def forward(self, x: Pair) -> Pair:
        high, low = self.conv(x)
        high, low = self.bn_h(high), None if low is None else self.bn_l(low)
        return (F.relu(high), None if low is None else F.relu(low)) if self.act else (high, low)


class OctaveBlock(nn.Module):
    """Residual block of OctConvs: two 3x3 (basic), or 1x1, 3x3 and 1x1 (bottleneck)."""

    def __init__(
        self, width: int, channels: int, stride: int, alpha_in: float, alpha_out: float, bottleneck: bool
    ) -> None:
        super().__init__()
        out = 4 * channels if bottleneck else channels
        if bottleneck:
            self.conv1 = OctConvBNAct(width, channels, 1, alpha_in, alpha_out)
            self.conv2 = OctConvBNAct(channels, channels, 3, alpha_out, alpha_out, stride)
            self.conv3 = OctConvBNAct(channels, out, 1, alpha_out, alpha_out, act=False)
        else:
            self.conv1 = OctConvBNAct(width, out, 3, alpha_in, alpha_out, stride)
            self.conv2 = OctConvBNAct(out, out, 3, alpha_out, alpha_out, act=False)
            self.conv3 = None
        self.downsample = None
        if stride != 1 or width != out or alpha_in != alpha_out:
            shortcut = OctConvBNAct(width, out, 1, alpha_in, alpha_out, stride, act=False)
            self.downsample = nn.Sequential(shortcut)

    def forward(self, x: Pair) -> Pair:
        y = self.conv2(self.conv1(x))
        if self.conv3 is not None:
            y = self.conv3(y)
        if self.downsample is not None:
            x = self.downsample(x)
        return F.relu(y[0] + x[0]), None if y[1] is None else F.relu(y[1] + x[1])
