"""Split and versatile convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SPConv(nn.Module):
    """Split convolution (arXiv 2006.12085), ratio 1/2 in two groups: [N, C, H, W] -> [N, O, OH, OW]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        half = in_channels // 2
        self.widths, self.stride = [half, in_channels - half], stride
        self.gwc = nn.Conv2d(half, out_channels, 3, stride, 1, groups=2, bias=False)
        self.pwc = nn.Conv2d(half, out_channels, 1, bias=False)
        self.conv1x1 = nn.Conv2d(in_channels - half, out_channels, 1)
        self.bn1, self.bn2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x3, x1 = torch.split(x, self.widths, dim=1)
        grouped = self.gwc(x3)
        if self.stride == 2:
            x3, x1 = F.avg_pool2d(x3, 2, ceil_mode=True), F.avg_pool2d(x1, 2, ceil_mode=True)
        u3 = self.bn1(grouped + self.pwc(x3))
        u1 = self.bn2(self.conv1x1(x1))
        beta = torch.sigmoid(F.adaptive_avg_pool2d(u3, 1) - F.adaptive_avg_pool2d(u1, 1))
        return u1 + (u3 - u1) * beta


class Versatile(nn.Module):
    """Nested filters (arXiv 2109.09310): one convolution per centre crop of the stored kernel and window of channels.

    ``delta`` channels are left out of each window, which moves by one (the paper's channel sharing).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, delta: int = 0) -> None:
        super().__init__()
        self.crops, self.stride, self.delta = (kernel_size + 1) // 2, stride, delta
        stored = -(-out_channels // (self.crops * (delta + 1)))
        self.out_channels = out_channels
        self.weight = nn.Parameter(torch.empty(stored, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        channels, side = self.weight.shape[1:3]
        windows = [slice(first, first + channels - self.delta) for first in range(self.delta + 1)]
        outputs = []
        for crop in range(self.crops):
            kernel = self.weight[:, :, crop : side - crop, crop : side - crop]
            settings = {"stride": self.stride, "padding": kernel.shape[-1] // 2}
            outputs += [F.conv2d(x[:, window], kernel[:, window], **settings) for window in windows]
        return torch.cat(outputs, dim=1)[:, : self.out_channels]
