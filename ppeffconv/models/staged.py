"""Networks that are stages one after the other: as a classifier, or as the feature maps of its stages."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor, nn

from ..layers import auxiliary_losses, octave_merge
from ..layers.octave import Pair, lone_group
from .resnet import check_stages, classifier


class StagedNet(nn.Sequential):
    """Stages and a head: [N, in_channels, H, W] -> logits [N, num_classes]; octave pairs may flow between stages."""

    def __init__(self, stages: Sequence[nn.Layer], head: nn.Layer) -> None:
        super().__init__(("features", nn.Sequential(*stages)), ("head", head))

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Extra losses that the layers offer, by name (see `layers.auxiliary_losses`)."""
        return auxiliary_losses(self)


class StageMaps(nn.Layer):
    """The same stages without the head: [N, in_channels, H, W] -> the maps of those in ``out_indices``.

    Attributes:
        feature_channels, feature_strides: of these maps. An octave stage's map has its low group upsampled.
    """

    def __init__(
        self, stages: Sequence[nn.Layer], channels: Sequence[int], strides: Sequence[int], out_indices: Sequence[int]
    ) -> None:
        super().__init__()
        self.features = nn.LayerList(stages)
        self.out_indices = tuple(out_indices)
        self.feature_channels = tuple(channels[i - 1] for i in out_indices)
        self.feature_strides = tuple(strides[i - 1] for i in out_indices)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number, stage in enumerate(self.features, start=1):
            x = lone_group(stage(x))
            if number in self.out_indices:
                maps.append(_one_map(x))
        return maps

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Extra losses that the layers offer, by name (see `layers.auxiliary_losses`)."""
        return auxiliary_losses(self)


def build_staged(
    stages: Sequence[nn.Layer],
    channels: Sequence[int],
    strides: Sequence[int],
    head: Sequence[tuple[str, nn.Layer]],
    width: int,
    num_classes: int,
    features_only: bool,
    out_indices: Sequence[int] | None,
) -> nn.Layer:
    """The network of these stages: `StageMaps` if ``features_only``, else `StagedNet`.

    Args:
        channels, strides: of each stage's output.
        head: (name, layer) of what lies between the last stage and the classifier, which takes ``width`` numbers.
    """
    out_indices = check_stages(channels, out_indices, features_only)
    if features_only:
        return StageMaps(stages, channels, strides, out_indices)
    return StagedNet(stages, nn.Sequential(*head, ("fc", classifier(width, num_classes))))


def pooling(dropout: float = 0.0) -> list[tuple[str, nn.Layer]]:
    """Global mean and flattening, and dropout if there is any."""
    layers = [("pool", nn.AdaptiveAvgPool2D(1)), ("flatten", nn.Flatten())]
    return [*layers, ("dropout", nn.Dropout(dropout))] if dropout else layers


def _one_map(x: Tensor | Pair) -> Tensor:
    return octave_merge(x) if isinstance(x, (tuple, list)) else x
