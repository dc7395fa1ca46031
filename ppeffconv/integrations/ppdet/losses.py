"""The losses that networks of this package offer themselves, in PaddleDetection's total loss."""

from __future__ import annotations

import functools
from typing import Any

import paddle
from ppdet.modeling.architectures.meta_arch import BaseArch

from ...layers.auxiliary import weigh_losses
from ...layers.density import density
from .backbone import EffConvResNet


def join_auxiliary_losses() -> None:
    """Let every architecture of PaddleDetection add what its EffConvResNet asks for with ``auxiliary``.

    Each weighted loss appears in the log as ``loss_<name>``, and the total holds it; a network that samples shows its
    density too. Once is enough, and more often does no harm.
    """
    if not hasattr(BaseArch.forward, "__wrapped__"):
        BaseArch.forward = _joining(BaseArch.forward)


def _joining(forward: Any) -> Any:
    @functools.wraps(forward)
    def joined(self: BaseArch, inputs: Any) -> Any:
        outputs = forward(self, inputs)
        if not self.training:
            return outputs
        for backbone in self.sublayers():
            if isinstance(backbone, EffConvResNet) and backbone.auxiliary:
                _add(backbone, outputs)
        return outputs

    return joined


def _add(backbone: EffConvResNet, outputs: dict[str, Any]) -> None:
    offered = backbone.auxiliary_losses()
    for name, loss in weigh_losses(offered, backbone.auxiliary, "EffConvResNet.auxiliary").items():
        outputs[f"loss_{name}"] = loss
        outputs["loss"] = outputs["loss"] + outputs[f"loss_{name}"]
    if (kept := density(backbone.net)) is not None:
        outputs["density"] = paddle.to_tensor(kept)
