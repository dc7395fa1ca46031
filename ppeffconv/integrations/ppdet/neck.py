"""This package's feature pyramid as a neck of PaddleDetection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddle import Tensor, nn
from ppdet.core.workspace import register, serializable
from ppdet.modeling.shape_spec import ShapeSpec

from ...models.fpn import FPN


@register
@serializable
class EffConvFPN(nn.Layer):
    """Neck: the backbone's maps -> maps of one width, one more than there are backbone maps.

    Args:
        in_channels, in_strides: of the backbone's maps; PaddleDetection takes them from the backbone.
        out_channel: width of the outputs.
        conv, conv_kwargs: method of the 3x3 convolutions and its arguments, see `ppeffconv.models.fpn.FPN`.
        upsample, upsample_kwargs: way to upsample and its arguments.
        extra_stage: 1 adds a coarser map, as Faster R-CNN wants; 0 does not.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        in_strides: Sequence[int] = (4, 8, 16, 32),
        out_channel: int = 256,
        conv: str = "plain",
        conv_kwargs: Mapping[str, Any] | None = None,
        upsample: str = "nearest",
        upsample_kwargs: Mapping[str, Any] | None = None,
        extra_stage: int = 1,
    ) -> None:
        super().__init__()
        slots = conv, dict(conv_kwargs or {}), upsample, dict(upsample_kwargs or {})
        self.fpn = FPN(in_channels, in_strides, out_channel, *slots, extra_levels=extra_stage)

    @classmethod
    def from_config(cls, cfg: Any, input_shape: Sequence[ShapeSpec]) -> dict[str, Any]:
        """The arguments that follow from the backbone's ``out_shape``."""
        return {
            "in_channels": [shape.channels for shape in input_shape],
            "in_strides": [int(shape.stride) for shape in input_shape],
        }

    @property
    def out_shape(self) -> list[ShapeSpec]:
        """Channels and stride of each map."""
        maps = zip(self.fpn.feature_channels, self.fpn.feature_strides)
        return [ShapeSpec(channels=channels, stride=stride) for channels, stride in maps]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return self.fpn(features)
