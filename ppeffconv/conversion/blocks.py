"""Reading the residual blocks of our networks and of paddle.vision."""

from __future__ import annotations

from dataclasses import dataclass

from paddle import nn
from paddle.vision.models.resnet import BasicBlock as VisionBasicBlock
from paddle.vision.models.resnet import BottleneckBlock as VisionBottleneck

from ..layers.slot import Slot
from ..layers.untouched import has_hooks
from ..models.resnet import BasicBlock, Bottleneck
from .dense import slot_of

KERNELS = {BasicBlock: (3, 3), VisionBasicBlock: (3, 3), Bottleneck: (1, 3, 1), VisionBottleneck: (1, 3, 1)}
"""Kernel sizes of the main convolutions of the known blocks."""


@dataclass(frozen=True)
class ResidualBlock:
    """A known residual block: convolutions conv1, ... and norms bn1, ... on the main path, and a shortcut."""

    layer: nn.Layer
    slots: list[Slot]
    stride: int
    dilation: int
    first_dilation: int
    """Of the first 3x3 convolution; a dilated network may have stopped striding in it."""

    @property
    def in_channels(self) -> int:
        """Width of the input."""
        return self.slots[0].in_channels

    @property
    def out_channels(self) -> int:
        """Width of the output."""
        return self.slots[-1].out_channels

    @property
    def shortcut(self) -> nn.Layer | None:
        """None where it is the identity."""
        return self.layer.downsample


def kernels_of(layer: nn.Layer) -> tuple[int, ...] | None:
    """Kernel sizes of a known residual block, None if it is none."""
    return next((kernels for kind, kernels in KERNELS.items() if type(layer).forward is kind.forward), None)


def read_block(layer: nn.Layer) -> ResidualBlock:
    """Read a known residual block; ValueError with the reason if it is not one, or was altered."""
    kernels = kernels_of(layer)
    if kernels is None:
        raise ValueError(f"{type(layer).__name__} is no residual block that is known here")
    if has_hooks(layer):
        raise ValueError("has hooks, which would be lost")
    if not isinstance(getattr(layer, "relu", nn.ReLU()), nn.ReLU):
        raise ValueError(f"its activation is {type(layer.relu).__name__}, not ReLU")
    slots = []
    for i, size in enumerate(kernels, start=1):
        conv = getattr(layer, f"conv{i}")
        if not isinstance(conv, nn.Conv2D):
            raise ValueError(f"conv{i} is a {type(conv).__name__}")
        slots.append(_read_conv(conv, f"conv{i}", size))
    strided = kernels.index(3)
    if any(slot.stride != (1, 1) for i, slot in enumerate(slots) if i != strided):
        raise ValueError(f"only conv{strided + 1} may have a stride")
    dilations = [slot.dilation[0] for slot, size in zip(slots, kernels) if size == 3]
    return ResidualBlock(layer, slots, slots[strided].stride[0], dilations[-1], dilations[0])


def _read_conv(conv: nn.Conv2D, name: str, size: int) -> Slot:
    try:
        slot = slot_of(conv)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    same = all(2 * pad == step * (size - 1) for pad, step in zip(slot.padding, slot.dilation))
    square = len(set(slot.stride)) == len(set(slot.dilation)) == 1
    if slot.kernel_size != (size, size) or not same or not square or slot.bias_attr is not False:
        raise ValueError(f"{name} is not the {size}x{size} convolution without bias, size kept, that belongs there")
    return slot
