"""Decoupled dynamic filters (arXiv 2104.14107)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FilterNorm(nn.Module):
    """Standardise generated filters over their taps and scale them: [N, channels * k * k, H, W] -> the same."""

    def __init__(self, channels: int, kernel_size: int, learned: bool) -> None:
        super().__init__()
        self.shape, self.scale = (channels, kernel_size**2), math.sqrt(2) / kernel_size
        self.std = nn.Parameter(torch.randn(channels * kernel_size**2) * self.scale) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        filters = x.unflatten(1, self.shape)
        filters = filters - filters.mean(dim=2, keepdim=True)
        filters = filters / (filters.std(dim=2, keepdim=True) + 1e-10)
        return filters.flatten(1, 2) * (self.scale if self.std is None else self.std.view(1, -1, 1, 1))


class DDF(nn.Module):
    """One 3x3 kernel per pixel times one per channel: [N, C, H, W] -> [N, C, OH, OW]."""

    def __init__(self, channels: int, stride: int = 1, kernel_size: int = 3, se_ratio: float = 0.2) -> None:
        super().__init__()
        taps, hidden = kernel_size**2, max(1, int(channels * se_ratio))
        self.kernel_size, self.stride = kernel_size, stride
        self.spatial_branch = nn.Sequential(nn.Conv2d(channels, taps, 1, stride), FilterNorm(1, kernel_size, False))
        self.channel_branch = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels * taps, 1),
            FilterNorm(channels, kernel_size, True),
        )

    def forward(self, x: Tensor) -> Tensor:
        per_channel = self.channel_branch(x).unflatten(1, (-1, self.kernel_size**2))
        return ddf(x, per_channel, self.spatial_branch(x), self.kernel_size, self.stride)


def ddf(x: Tensor, per_channel: Tensor, per_pixel: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Sum over the taps: x [N, C, H, W], per_channel [N, C, k * k, 1, 1], per_pixel [N, k * k, OH, OW].

    Tap by tap, because the formulation by unfold takes 1 to 30 times as long on CPU.
    """
    height, width = x.shape[2:]
    padded = F.pad(x, [kernel_size // 2] * 4)
    out = 0
    for tap in range(kernel_size**2):
        i, j = divmod(tap, kernel_size)
        scaled = padded[:, :, i : i + height : stride, j : j + width : stride] * per_channel[:, :, tap]
        pixel = per_pixel[:, tap : tap + 1]
        out = torch.addcmul(out, scaled, pixel) if tap else scaled * pixel
    return out
