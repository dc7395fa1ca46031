"""The ResNets, with a slot for the 3x3 convolutions of their blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .convs import SPConv, Versatile
from .ddf import DDF
from .octave import OctaveBlock
from .sampling import SampledBasicBlock, SampledBottleneck

# depth: (blocks per stage, bottleneck, width of the first stage); four stages have ImageNet's stem, three CIFAR's
DEPTHS = {18: ((2, 2, 2, 2), False, 64), 20: ((3, 3, 3), False, 16), 50: ((3, 4, 6, 3), True, 64)}
METHODS = ("dense", "oct", "sp", "versatile", "ddf", "sampled")


def create_model(name: str, classes: int) -> nn.Module:
    """The network that `ppeffconv.create_model` builds by this name: resnet18, oct_resnet50, ddf_resnet20, ..."""
    method, _, depth = name.rpartition("resnet")
    return ResNet(int(depth), method.rstrip("_") or "dense", classes)


def dense(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1, without bias."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)


def slot(method: str, bottleneck: bool, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """What replaces a 3x3 convolution."""
    if method == "sp":
        return SPConv(in_channels, out_channels, stride)
    if method == "versatile":
        return Versatile(in_channels, out_channels, 3, stride)
    if method == "ddf" and bottleneck:
        return DDF(in_channels, stride)
    if method == "ddf":  # no 1x1 convolutions around it mix the channels
        return nn.Sequential(DDF(in_channels, stride), dense(in_channels, out_channels, 1))
    return dense(in_channels, out_channels, 3, stride)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """The projection, or None where the identity fits."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(dense(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two convolutions of the slot."""

    def __init__(self, conv: Callable[..., nn.Module], width: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(width, channels, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels), nn.BatchNorm2d(channels)
        self.downsample = shortcut(width, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, the slot, 1x1."""

    def __init__(self, conv: Callable[..., nn.Module], width: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = dense(width, channels, 1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, stride), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = dense(channels, 4 * channels, 1), nn.BatchNorm2d(4 * channels)
        self.downsample = shortcut(width, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """[N, 3, H, W] -> [N, classes]."""

    def __init__(self, depth: int, method: str, classes: int) -> None:
        super().__init__()
        depths, self.bottleneck, width = DEPTHS[depth]
        self.method, self.stages, self.width = method, len(depths), width
        kernel_size, stride = (7, 2) if self.stages == 4 else (3, 1)
        stem = Versatile if method == "versatile" else dense
        self.conv1, self.bn1 = stem(3, width, kernel_size, stride), nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if self.stages == 4 else nn.Identity()
        for stage, count in enumerate(depths, start=1):
            blocks = [self._block(stage, position, width * 2 ** (stage - 1)) for position in range(count)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(self.width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.out_channels > 1:  # the mask branches start at zero
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _block(self, stage: int, position: int, channels: int) -> nn.Module:
        width, stride = self.width, 2 if stage > 1 and position == 0 else 1
        self.width = 4 * channels if self.bottleneck else channels
        if self.method == "oct":  # full resolution enters the first stage and leaves the last one
            last = stage == self.stages
            alpha_in = 0.0 if (stage == 1 and position == 0) or (last and position > 0) else 0.5
            return OctaveBlock(width, channels, stride, alpha_in, 0.0 if last else 0.5, self.bottleneck)
        if self.method == "sampled":
            block = SampledBottleneck if self.bottleneck else SampledBasicBlock
            return block(width, channels, stride, shortcut(width, self.width, stride))
        conv = partial(slot, self.method, self.bottleneck)
        return (Bottleneck if self.bottleneck else BasicBlock)(conv, width, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        if self.method == "oct":
            x = (x, None)
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        x = x[0] if self.method == "oct" else x
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
