"""A detector whose backbone and pyramid run in deploy form; heads and box operators stay PaddleDetection's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddle import Tensor, nn

from ... import deploy
from .backbone import EffConvResNet
from .neck import EffConvFPN


class DeployedFeatures(nn.Layer):
    """Backbone and neck by `ppeffconv.deploy`: {"image": [N, 3, H, W]} -> the neck's maps.

    Attributes:
        net: a `ppeffconv.deployed.Deployed` where all is lowered; its ``report()`` says what it does.
    """

    def __init__(self, backbone: EffConvResNet, neck: EffConvFPN | None) -> None:
        super().__init__()
        self.net = deploy(backbone.net if neck is None else nn.Sequential(backbone.net, neck.fpn))

    def forward(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        return list(self.net(inputs["image"]))


def deploy_features(detector: Any) -> None:
    """Change ``detector``, in evaluation mode and for good, so that its backbone and neck run in deploy form.

    Raises:
        ValueError: its backbone or neck is not this package's.
    """
    backbone, neck = detector.backbone, getattr(detector, "neck", None)
    if not isinstance(backbone, EffConvResNet) or not isinstance(neck, (EffConvFPN, type(None))):
        raise ValueError(
            f"deploy form needs EffConvResNet and EffConvFPN, got {type(backbone).__name__} and {type(neck).__name__}: "
            "leave deploy=false for other networks"
        )
    detector.eval()
    detector.backbone = DeployedFeatures(backbone, neck)
    if neck is not None:
        detector.neck = nn.Identity()
