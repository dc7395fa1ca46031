"""Multiply-adds of a detector's backbone and neck, at the density that sampling has in an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from paddle import nn

from ...layers.density import density, density_report
from ...models import profile
from .backbone import EffConvResNet


class Cost:
    """Collects densities over the batches of an evaluation.

    Args:
        detector: a model of PaddleDetection; without an EffConvResNet nothing is collected.
    """

    def __init__(self, detector: nn.Layer) -> None:
        backbones = [layer for layer in detector.sublayers() if isinstance(layer, EffConvResNet)]
        self._backbone = backbones[0] if backbones else None
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._densities: list[float] = []
        self._macs: list[int] = []

    def add(self) -> None:
        """Take the batch that the detector has just seen."""
        if self._backbone is not None and (kept := density(self._backbone)) is not None:
            self._densities.append(kept)
            self._macs.append(sum(row.macs for row in density_report(self._backbone)))

    def read(self) -> dict[str, float]:
        """Return the mean ``density`` and the mean ``sampled_macs`` of the blocks that sample; {} if none does."""
        if not self._densities:
            return {}
        return {"density": round(float(np.mean(self._densities)), 4), "sampled_macs": int(np.mean(self._macs))}


class FeatureMaps(nn.Layer):
    """Backbone and neck of a detector as one network: [N, 3, H, W] -> list of maps."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.neck = detector.backbone, detector.neck

    def forward(self, x):
        maps = self.backbone({"image": x})
        return maps if self.neck is None else self.neck(maps)


def macs(detector: Any, height: int, width: int, sampled_macs: int | None = None) -> int:
    """Multiply-adds of backbone and neck for one image.

    Args:
        sampled_macs: those of the blocks that sample, from `Cost.read`; by default as dense kernels compute them.
    """
    net = FeatureMaps(detector)
    counted = profile(net, (3, height, width))
    if sampled_macs is None:
        return counted.macs
    # a block's name is a prefix of the names of what it holds
    blocks = {name for name, layer in net.named_sublayers() if hasattr(layer, "expected_macs")}
    outside = [row.macs for row in counted.layers if not any(_within(row.name, block) for block in blocks)]
    return sum(outside) + sampled_macs


def _within(name: str, block: str) -> bool:
    return name == block or name.startswith(f"{block}.")
