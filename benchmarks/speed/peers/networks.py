"""The ResNets, with a slot for the 3x3 convolutions of their blocks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .convs import SPConv, Versatile
from .ddf import DDF
from .octave import OctaveBlock
from .sampling import SampledBasicBlock, SampledBottleneck

# depth: (blocks per stage, bottleneck, width of the first stage); four stages have ImageNet's stem, three CIFAR's
DEPTHS = {18: ((2, 2, 2, 2), False, 64), 20: ((3, 3, 3), False, 16), 50: ((3, 4, 6, 3), True, 64)}
METHODS = ("dense", "oct", "sp", "versatile", "ddf", "sampled")


def create_model(name: str, classes: int, alpha: float = 0.5, delta: int = 0) -> nn.Module:
    """The network that `ppeffconv.create_model` builds by this name: resnet18, oct_resnet50, ddf_resnet20, ...

    Args:
        alpha: of oct_*; delta: of versatile_*, in the paper's form.
    """
    method, _, depth = name.rpartition("resnet")
    return ResNet(int(depth), method.rstrip("_") or "dense", classes, alpha, delta)


def dense(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1, without bias."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)


class Slots:
    """What fills the places of convolutions in a block."""

    def __init__(self, method: str, bottleneck: bool, delta: int) -> None:
        self.method, self.bottleneck, self.delta = method, bottleneck, delta

    def pointwise(self, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        """A 1x1 convolution; versatile filters that share channels take it too."""
        if self.delta:
            return Versatile(in_channels, out_channels, 1, stride, self.delta)
        return dense(in_channels, out_channels, 1, stride)

    def spatial(self, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        """A 3x3 convolution."""
        if self.method == "sp":
            return SPConv(in_channels, out_channels, stride)
        if self.method == "versatile":
            return Versatile(in_channels, out_channels, 3, stride, self.delta)
        if self.method == "ddf" and self.bottleneck:
            return DDF(in_channels, stride)
        if self.method == "ddf":  # no 1x1 convolutions around it mix the channels
            return nn.Sequential(DDF(in_channels, stride), dense(in_channels, out_channels, 1))
        return dense(in_channels, out_channels, 3, stride)

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        """The projection, or None where the identity fits."""
        if stride == 1 and in_channels == out_channels:
            return None
        return nn.Sequential(self.pointwise(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two convolutions of the slot."""

    def __init__(self, slots: Slots, width: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = slots.spatial(width, channels, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = slots.spatial(channels, channels), nn.BatchNorm2d(channels)
        self.downsample = slots.shortcut(width, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, the slot, 1x1."""

    def __init__(self, slots: Slots, width: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = slots.pointwise(width, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = slots.spatial(channels, channels, stride), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = slots.pointwise(channels, 4 * channels), nn.BatchNorm2d(4 * channels)
        self.downsample = slots.shortcut(width, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """[N, 3, H, W] -> [N, classes]."""

    def __init__(self, depth: int, method: str, classes: int, alpha: float = 0.5, delta: int = 0) -> None:
        super().__init__()
        depths, self.bottleneck, width = DEPTHS[depth]
        self.method, self.stages, self.width, self.alpha = method, len(depths), width, alpha
        self.slots = Slots(method, self.bottleneck, delta)
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
            alpha_in = 0.0 if (stage == 1 and position == 0) or (last and position > 0) else self.alpha
            return OctaveBlock(width, channels, stride, alpha_in, 0.0 if last else self.alpha, self.bottleneck)
        if self.method == "sampled":
            block = SampledBottleneck if self.bottleneck else SampledBasicBlock
            return block(width, channels, stride, self.slots.shortcut(width, self.width, stride))
        return (Bottleneck if self.bottleneck else BasicBlock)(self.slots, width, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        if self.method == "oct":
            x = (x, None)
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        x = x[0] if self.method == "oct" else x
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
