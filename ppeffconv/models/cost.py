"""What a network computes on the images of an evaluation: density of its masks and multiply-adds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from paddle import Tensor, nn

from ..layers import density_report
from .profile import count_parameters, expected_macs


class CostOfImages:
    """While entered, averages the densities of a model's masks over its forwards.

    Multiply-adds are those of the sampling paper's accounting at the average densities, for the size of the last image
    as the network sees it; for a network without masks, `ppeffconv.profile`'s.
    """

    def __init__(self, model: nn.Layer) -> None:
        self._model = model
        self._shares: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        self._shape: list[int] = []

    def __enter__(self) -> CostOfImages:
        self._hook = self._model.register_forward_post_hook(self._record)
        return self

    def __exit__(self, *exception: object) -> None:
        self._hook.remove()

    def _record(self, model: nn.Layer, inputs: tuple[Tensor, ...], outputs: Any) -> None:
        self._shape = inputs[0].shape
        for row in density_report(model):
            self._shares[row.name].append(row.densities)

    def facts(self) -> dict[str, Any]:
        """{"macs", "params", "image": [H, W]}, and with masks "density", their mean, and "macs_without_masks"."""
        densities = {name: np.mean(shares, axis=0).tolist() for name, shares in self._shares.items()}
        facts = {
            "macs": expected_macs(self._model, self._shape, densities),
            "params": count_parameters(self._model),
            "image": list(self._shape[2:]),
        }
        if densities:
            facts["density"] = float(np.mean([share for shares in densities.values() for share in shares]))
            facts["macs_without_masks"] = expected_macs(self._model, self._shape, None)
        return facts
