"""The dilated FPN: semantic segmentation on the feature maps of any ResNet of this package."""

from __future__ import annotations

from typing import Any

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..layers import auxiliary_losses
from ..layers.conv import Conv2D
from ..layers.norm import BatchNorm2D
from ..ops.primitives import has_size, shape_of
from ..utils.numbers import as_size
from .fpn import FPN


class DilatedFPN(nn.Layer):
    """Backbone, FPN and a head: [N, C, H, W] -> logits [N, num_classes, H, W], at any size.

    The sampling paper (arXiv 2003.08866) segments Cityscapes by a "dilated FPN": an FPN over a ResNet whose last two
    stages are dilated by 2 and 4 and stay at stride 8. Its head is not published; ours is that of Semantic FPN
    (arXiv 1901.02446), for these strides: each level passes a 3x3 convolution with BatchNorm and ReLU, is resized to
    the finest level and added, and a 1x1 convolution gives the logits, which are resized to the image. Resizing is
    bilinear.

    Args:
        backbone: [N, C, H, W] -> list of maps, with ``feature_channels`` and ``feature_strides``: for the paper's
            network ``create_model("resnet50", features_only=True, output_stride=8)``.
        num_classes: width of the logits.
        channels: width of the FPN; head_channels: of the head's convolutions.
        dropout: probability of dropping a channel before the logits.
        fpn_kwargs: ``conv``, ``upsample`` and their arguments, see `FPN`.

    Raises:
        ValueError: arguments out of range, or a backbone without feature maps.
    """

    def __init__(
        self,
        backbone: nn.Layer,
        num_classes: int,
        channels: int = 256,
        head_channels: int = 128,
        dropout: float = 0.1,
        fpn_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not getattr(backbone, "features_only", True) or not hasattr(backbone, "feature_strides"):
            raise ValueError(f"DilatedFPN needs a backbone with features_only=True, got {type(backbone).__name__}")
        as_size(num_classes, "num_classes")
        self.backbone = backbone
        self.fpn = FPN(backbone.feature_channels, backbone.feature_strides, channels, **(fpn_kwargs or {}))
        self.branches = nn.LayerList([_branch(channels, head_channels) for _ in self.fpn.feature_channels])
        self.dropout = nn.Dropout2D(dropout)
        self.classifier = Conv2D(head_channels, num_classes, 1, bias_attr=None)
        nn.initializer.Normal(0.0, 0.01)(self.classifier.weight)  # equal chances at first, so that the loss begins low

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(level) for branch, level in zip(self.branches, self.fpn(self.backbone(x)))]
        fused = maps[0]
        for level in maps[1:]:
            fused = fused + resize(level, fused)
        return resize(self.classifier(self.dropout(fused)), x)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Those of the backbone's layers (see `layers.auxiliary_losses`)."""
        return auxiliary_losses(self)


def _branch(in_channels: int, channels: int) -> nn.Sequential:
    """What a level of the pyramid passes."""
    return nn.Sequential(Conv2D(in_channels, channels, 3, padding=1), BatchNorm2D(channels), nn.ReLU())


def resize(x: Tensor, like: Tensor) -> Tensor:
    """``x`` at the height and width of ``like``, bilinear."""
    size = shape_of(like)[2:]
    if has_size(x, *size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
