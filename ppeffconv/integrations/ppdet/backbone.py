"""Any ResNet of this package as a backbone of PaddleDetection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddle import Tensor, nn
from ppdet.core.workspace import register, serializable
from ppdet.modeling.shape_spec import ShapeSpec

from ...engine.weights import load_backbone
from ...models import create_model


@register
@serializable
class EffConvResNet(nn.Layer):
    """Backbone: {"image": [N, 3, H, W]} -> the maps of the stages in ``return_idx``.

    In a configuration::

        EffConvResNet:
          name: sampled_resnet50
          kwargs: {window: 7}
          auxiliary: {sparse: 0.1}

    Args:
        name: a ResNet of `ppeffconv.list_models`, of the ImageNet kind (four stages, strides 4 to 32).
        kwargs: its own arguments, see `ppeffconv.create_model`.
        return_idx: stages whose maps are returned, counted from 0, as PaddleDetection does.
        freeze_at: as in PaddleDetection: 0 freezes the stem and the first stage, 1 also the second, and so on. Other
            than there, -1 (nothing) is the default, because weights are random unless some are given.
        freeze_stem: freeze the stem, whatever ``freeze_at`` says.
        freeze_norm: use the running statistics of all BatchNorms in training too, and leave their weights alone.
        lr_mult_list: factor of the learning rate of each stage.
        auxiliary: weights of the network's own losses, such as ``sparse``, in the total loss.
        pretrained: a tag of published weights, such as ``paddle`` (see `ppeffconv.create_model`), or a weight file,
            checkpoint or run folder of this package; the classifier is left out.

    Raises:
        ValueError: an unknown name or argument, or weights of another network.
        FileNotFoundError: no weights at ``pretrained``.
    """

    def __init__(
        self,
        name: str = "resnet50",
        kwargs: Mapping[str, Any] | None = None,
        return_idx: Sequence[int] = (0, 1, 2, 3),
        freeze_at: int = -1,
        freeze_stem: bool = False,
        freeze_norm: bool = False,
        lr_mult_list: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        auxiliary: Mapping[str, float] | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        _check(name, return_idx, freeze_at, lr_mult_list)
        indices = [index + 1 for index in return_idx]
        self.net = create_model(name, features_only=True, out_indices=indices, **(kwargs or {}))
        self.auxiliary = dict(auxiliary or {})
        if pretrained:
            load_backbone(self.net, name, pretrained)
        if freeze_stem or freeze_at >= 0:
            _freeze(self.net.conv1, self.net.bn1)
        for stage, factor in enumerate(lr_mult_list):
            layer = getattr(self.net, f"layer{stage + 1}")
            for parameter in layer.parameters():
                parameter.optimize_attr["learning_rate"] = factor
            if stage <= freeze_at:
                _freeze(layer)
        if freeze_norm:
            _freeze_norms(self.net)

    @property
    def out_shape(self) -> list[ShapeSpec]:
        """Channels and stride of each map."""
        maps = zip(self.net.feature_channels, self.net.feature_strides)
        return [ShapeSpec(channels=channels, stride=stride) for channels, stride in maps]

    def forward(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        return self.net(inputs["image"])

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """The network's own losses after a forward in training (see `ppeffconv.layers.auxiliary_losses`)."""
        return self.net.auxiliary_losses()


def _check(name: str, return_idx: Sequence[int], freeze_at: int, lr_mult_list: Sequence[float]) -> None:
    if "resnet" not in name or name.startswith("uniform_") or name.endswith(("resnet20", "resnet56")):
        raise ValueError(f"EffConvResNet: name must be a ResNet of the ImageNet kind, such as resnet50, got {name!r}")
    if not return_idx or any(index not in range(4) for index in return_idx):
        raise ValueError(f"EffConvResNet: return_idx must be stages out of 0 to 3, got {list(return_idx)}")
    if freeze_at not in range(-1, 4):
        raise ValueError(f"EffConvResNet: freeze_at must be a stage from 0 to 3, or -1 for none, got {freeze_at!r}")
    if len(lr_mult_list) != 4:
        raise ValueError(f"EffConvResNet: lr_mult_list must hold 4 factors, got {list(lr_mult_list)}")


def _freeze(*layers: nn.Layer) -> None:
    """Train no parameter of ``layers``."""
    for layer in layers:
        for parameter in layer.parameters():
            parameter.stop_gradient = True


def _freeze_norms(net: nn.Layer) -> None:
    for layer in net.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer._use_global_stats = True
            _freeze(layer)
