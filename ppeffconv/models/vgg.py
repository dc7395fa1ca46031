"""VGG-16 with BatchNorm, a conv slot, and an ImageNet or a CIFAR head."""

from __future__ import annotations

from typing import Any

from paddle import ParamAttr, Tensor, nn

from ..layers import OctConvBNAct, auxiliary_losses, build_conv, octave_merge, octave_pool
from ..layers.norm import BatchNorm2D
from .blocks import ConvSlots
from .resnet import classifier

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HEADS = ("imagenet", "cifar")
BIASED = ("plain", "versatile", "learned_versatile")


class VGG16(nn.Layer):
    """VGG-16-BN: [N, in_channels, H, W] -> logits [N, num_classes].

    The method takes the twelve convolutions after the first; versatile filters take the first one and, as in their
    authors' code, the first fully connected layer too (as a 7x7 convolution).

    Args:
        method, method_kwargs: what fills the slot (see `layers.build_conv`).
        head: "imagenet" (7x7 pooling, 4096-4096 with dropout) or "cifar" (global pooling, 512).

    Raises:
        ValueError: unknown head, or a slot that the method cannot fill.
    """

    def __init__(
        self,
        method: str = "plain",
        method_kwargs: dict[str, Any] | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        head: str = "imagenet",
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"VGG16: head must be 'imagenet' or 'cifar', got {head!r}")
        slots = _slots(method, method_kwargs or {})
        first = slots if method in BIASED else ConvSlots(bias_attr=None)
        layers, width = [], in_channels
        for stage, widths in enumerate(WIDTHS):
            for i, out in enumerate(widths):
                conv = first.stem(width, out, 3, 1) if stage == i == 0 else slots.spatial(width, out, 1, 1)
                layers += [conv, BatchNorm2D(out), nn.ReLU()]
                width = out
            layers.append(nn.MaxPool2D(2, 2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.head = _head(head, slots, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Extra losses that the layers offer, by name (see `layers.auxiliary_losses`)."""
        return auxiliary_losses(self)


class OctaveVGG16(nn.Layer):
    """VGG-16-BN with OctConv in the twelve convolutions after the first; the last has alpha_out = 0 (our layout)."""

    def __init__(
        self,
        method_kwargs: dict[str, Any] | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        head: str = "imagenet",
    ) -> None:
        super().__init__()
        alpha = (method_kwargs or {}).get("alpha", 0.5)
        if head not in HEADS:
            raise ValueError(f"OctaveVGG16: head must be 'imagenet' or 'cifar', got {head!r}")
        widths = [width for stage in WIDTHS for width in stage]
        self.pool_after = {sum(map(len, WIDTHS[: i + 1])) - 1 for i in range(len(WIDTHS))}
        convs, channels = [], in_channels
        for i, width in enumerate(widths):
            alpha_in = 0 if i < 2 else alpha
            alpha_out = 0 if i in (0, len(widths) - 1) else alpha
            convs.append(OctConvBNAct(channels, width, 3, alpha_in=alpha_in, alpha_out=alpha_out, padding=1))
            channels = width
        self.features = nn.LayerList(convs)
        self.head = _head(head, ConvSlots(), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for i, conv in enumerate(self.features):
            x = conv(x)
            if i in self.pool_after:
                x = octave_pool(x)
        return self.head(octave_merge(x))

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """No layer here offers any: {}."""
        return {}


def _slots(method: str, kwargs: dict[str, Any]) -> ConvSlots:
    """VGG's convolutions have biases, BatchNorm or not; methods that mix several convolutions leave them out."""
    if method == "sp":
        return ConvSlots("sp", **{"pointwise_bias": False, **kwargs})
    return ConvSlots("ddf_separable" if method == "ddf" else method, None if method in BIASED else False, **kwargs)


def _head(kind: str, slots: ConvSlots, num_classes: int) -> nn.Sequential:
    if kind == "cifar":
        return nn.Sequential(
            nn.AdaptiveAvgPool2D(1), nn.Flatten(), _linear(512, 512), nn.ReLU(), classifier(512, num_classes)
        )
    if slots.method == "versatile":
        first = [build_conv("versatile", 512, 4096, 7, padding=0, bias_attr=None, **slots.kwargs), nn.Flatten()]
    else:
        first = [nn.Flatten(), _linear(512 * 7 * 7, 4096)]
    hidden = [nn.ReLU(), nn.Dropout(0.5), _linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(nn.AdaptiveAvgPool2D(7), *first, *hidden, _linear(4096, num_classes))


def _linear(width_in: int, width_out: int) -> nn.Linear:
    """Fully connected layer with weights N(0, 0.01) and zero bias, as VGG initialises."""
    weight = ParamAttr(initializer=nn.initializer.Normal(0.0, 0.01))
    return nn.Linear(width_in, width_out, weight_attr=weight)
