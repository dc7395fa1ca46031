"""The training loss: cross entropy, plus what the network itself asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import paddle
from paddle import nn

from ..layers.auxiliary import weigh_losses
from ..ops.precision import at_least_float32

Criterion = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


def build_loss(cfg: dict[str, Any], net: nn.Layer) -> nn.Layer:
    """Return the training loss of ``cfg`` (the Loss block): (logits [N, C], labels [N]) -> scalar."""
    criterion = CrossEntropy(label_smoothing=cfg["label_smoothing"])
    return AuxiliaryLoss(criterion, net, cfg["auxiliary"]) if cfg["auxiliary"] else criterion


class CrossEntropy(nn.CrossEntropyLoss):
    """Paddle's, in float32 or wider: ``paddle.Model`` computes the loss outside of automatic mixed precision."""

    def forward(self, input: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        return super().forward(at_least_float32(input), label)


class AuxiliaryLoss(nn.Layer):
    """``criterion`` plus a weighted sum of the network's own losses (sampling density, orthogonality of masks).

    Args:
        criterion: (logits, labels) -> scalar.
        net: a network with ``auxiliary_losses() -> dict[str, scalar]``, valid after a training forward.
        weights: factor of each auxiliary loss; those not named are left out.
    """

    def __init__(self, criterion: Criterion, net: nn.Layer, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.criterion = criterion
        self.weights = dict(weights)
        # In a tuple, so that the network's parameters do not become the loss's own.
        self._net = (net,)

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the total; ValueError if the network offers no loss of a weighted name."""
        total = self.criterion(logits, labels)
        offered = self._net[0].auxiliary_losses() if hasattr(self._net[0], "auxiliary_losses") else {}
        for loss in weigh_losses(offered, self.weights, "Loss.auxiliary").values():
            total = total + loss.astype(total.dtype)
        return total
