"""Networks of this package as PaddleSeg's backbone and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddle import Tensor, nn
from paddleseg.cvlibs import manager

from ...deployed.lower import lower_layer, lowers
from ...deployed.pyramid import dilated_fpn
from ...engine.weights import load_backbone
from ...models import DilatedFPN as DilatedFPNNetwork
from ...models import create_model
from ...weights import load_fitting, read_weights


@manager.BACKBONES.add_component
class EffConvResNet(nn.Layer):
    """Any ResNet of this package: [N, in_channels, H, W] -> the maps of its stages.

    In a configuration, for any of PaddleSeg's models that takes a ResNet::

        backbone:
          type: EffConvResNet
          name: sampled_resnet50
          output_stride: 8
          auxiliary: {sparse: 0.1}

    Args:
        name: a ResNet of `ppeffconv.list_models`.
        output_stride: 8, 16 or 32; the stages beyond are dilated instead.
        out_indices: stages whose maps are returned, from 1; default: all.
        in_channels: of the images.
        kwargs: further arguments of `ppeffconv.create_model`, such as ``width`` and the method's own.
        auxiliary: weights of the network's own losses, such as ``sparse``, in the total loss.
        pretrained: a tag of published weights, such as ``paddle`` (see `ppeffconv.create_model`), or a weight file,
            checkpoint or run folder of this package; the classifier is left out.

    Attributes:
        feat_channels: widths of the maps, under PaddleSeg's name; feature_channels, feature_strides: under ours.

    Raises:
        ValueError: an unknown name or argument, or weights of another network.
        FileNotFoundError: no weights at ``pretrained``.
    """

    def __init__(
        self,
        name: str = "resnet50",
        output_stride: int = 8,
        out_indices: Sequence[int] | None = None,
        in_channels: int = 3,
        kwargs: Mapping[str, Any] | None = None,
        auxiliary: Mapping[str, float] | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if "resnet" not in name or name.startswith("uniform_"):  # that one resizes; PaddleSeg's Resize does it here
            raise ValueError(
                f"EffConvResNet: name must be a ResNet, such as resnet50 or sampled_resnet50, got {name!r}"
            )
        self.net = create_model(
            name,
            features_only=True,
            output_stride=output_stride,
            out_indices=out_indices,
            in_channels=in_channels,
            **(kwargs or {}),
        )
        self.auxiliary = dict(auxiliary or {})
        self.feature_channels, self.feature_strides = self.net.feature_channels, self.net.feature_strides
        self.feat_channels = list(self.feature_channels)
        if pretrained:
            load_backbone(self.net, name, pretrained)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.net(x)


@manager.MODELS.add_component
class DilatedFPN(DilatedFPNNetwork):
    """`ppeffconv.models.DilatedFPN` as PaddleSeg wants a model: it returns a list, of one map of logits.

    Args:
        num_classes, channels, head_channels, dropout, fpn_kwargs: see there.
        backbone: an EffConvResNet.
        pretrained: a weight file to start from, such as ``model.pdparams`` of a run. What fits is taken, so that a
            sampled network can start from the dense one.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        channels: int = 256,
        head_channels: int = 128,
        dropout: float = 0.1,
        fpn_kwargs: Mapping[str, Any] | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(backbone, num_classes, channels, head_channels, dropout, fpn_kwargs)
        if pretrained:
            load_fitting(self, read_weights(pretrained), str(pretrained))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [super().forward(x)]


@lowers(EffConvResNet)
def _lower_backbone(builder: Any, layer: EffConvResNet, x: Any, tail: Any) -> Any:
    """For `ppeffconv.deploy`: what the network becomes."""
    return lower_layer(builder, layer.net, x, tail)


@lowers(DilatedFPN)
def _lower_model(builder: Any, layer: DilatedFPN, x: Any, tail: Any) -> list[Any]:
    return [dilated_fpn(builder, layer, x, tail)]
