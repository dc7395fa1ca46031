"""What sampling adds to PaddleSeg's training: the networks' own losses in the total one, and a falling temperature."""

from __future__ import annotations

import math
import sys
from itertools import count
from typing import Any

from paddle import Tensor, nn
from paddleseg.utils import logger

from ...layers import auxiliary_losses, density, set_temperature, temperature_at
from ...layers.auxiliary import weigh_losses
from ..compat import at_least_1d
from .adapters import EffConvResNet


def join_auxiliary_losses(model: nn.Layer) -> None:
    """Let PaddleSeg's loop add to the total loss of ``model`` what its EffConvResNet asks for with ``auxiliary``.

    The loop asks a model that has ``loss_computation`` for its list of losses, adds them up, and records each in
    VisualDL: Train/loss_0 is the configured one, the next ones are those of ``auxiliary``, in its order, times their
    weights.
    """
    backbones = [layer for layer in model.sublayers() if isinstance(layer, EffConvResNet) and layer.auxiliary]
    if not backbones:
        return
    compute = getattr(model, "loss_computation", _stock_losses)

    def loss_computation(logits_list: list[Tensor], losses: dict[str, Any], data: dict[str, Tensor]) -> list[Tensor]:
        loss_list = compute(logits_list, losses, data)
        for backbone in backbones:
            loss_list = [*loss_list, *weighted_losses(backbone.net, backbone.auxiliary)]
        return loss_list

    model.loss_computation = loss_computation


def guard_losses(model: nn.Layer, step: int = 0) -> None:
    """Have PaddleSeg's loop end with an error where the loss is no number, instead of saving what it makes of weights.

    Args:
        model: in training; see `join_auxiliary_losses`, which comes before.
        step: steps that are done already.

    Raises (in training):
        RuntimeError: the loss is NaN or infinite; the message has its step.
    """
    compute = getattr(model, "loss_computation", _stock_losses)
    steps = count(step + 1)

    def loss_computation(logits_list: list[Tensor], losses: dict[str, Any], data: dict[str, Tensor]) -> list[Tensor]:
        loss_list, number = compute(logits_list, losses, data), next(steps)
        value = sum(float(loss) for loss in loss_list)
        if not math.isfinite(value):
            raise RuntimeError(
                f"the loss is {value} in step {number}; checkpoints are untouched. Try a lower "
                "lr_scheduler.learning_rate, or more lr_scheduler.warmup_iters"
            )
        return loss_list

    model.loss_computation = loss_computation


def total_losses(
    model: nn.Layer, logits_list: list[Tensor], losses: dict[str, Any], data: dict[str, Tensor]
) -> list[Tensor]:
    """The list of losses as PaddleSeg's loop computes it."""
    return getattr(model, "loss_computation", _stock_losses)(logits_list, losses, data)


def _stock_losses(logits_list: list[Tensor], losses: dict[str, Any], data: dict[str, Tensor]) -> list[Tensor]:
    """What the loop computes for a model without ``loss_computation``."""
    edges = data["edge"].astype("int64") if "edge" in data else None
    return sys.modules["paddleseg.core.train"].loss_computation(
        logits_list, data["label"].astype("int64"), edges, losses
    )


def weighted_losses(net: nn.Layer, weights: dict[str, float]) -> list[Tensor]:
    """The network's own losses of the last forward, times their weights, each [1]; ValueError for one it has not."""
    return [
        at_least_1d(loss) for loss in weigh_losses(auxiliary_losses(net), weights, "model.backbone.auxiliary").values()
    ]


class SamplingTemperature:
    """Forward hook that sets T(step) = start * (end / start) ** (step / total_steps) before each training step.

    An explicit function of the step, so that a resumed run goes on where it was. Now and then the temperature and the
    density of the masks go to PaddleSeg's log. Networks that do not sample are left alone.

    Args:
        model: to be trained.
        total_steps: of the whole schedule; step: the one to begin with, more than 0 in a resumed run.
        start, end: temperatures of the first step, and that the last one approaches.
        log_steps: steps from one line in the log to the next.
    """

    def __init__(
        self,
        model: nn.Layer,
        total_steps: int,
        step: int = 0,
        start: float = 1.0,
        end: float = 0.03,
        log_steps: int = 10,
    ) -> None:
        self.total_steps, self.step, self.start, self.end, self.log_steps = total_steps, step, start, end, log_steps
        temperature_at(step, total_steps, start, end)  # bad settings are told now
        if set_temperature(model, start):
            model.register_forward_pre_hook(self._before)
            model.register_forward_post_hook(self._after)

    def _before(self, model: nn.Layer, inputs: Any) -> None:
        if model.training:
            set_temperature(model, temperature_at(self.step, self.total_steps, self.start, self.end))

    def _after(self, model: nn.Layer, inputs: Any, outputs: Any) -> None:
        if not model.training:
            return
        if (self.step + 1) % self.log_steps == 0:
            value = temperature_at(self.step, self.total_steps, self.start, self.end)
            logger.info(f"[TRAIN] iter: {self.step + 1}, temperature: {value:.4f}, density: {density(model):.4f}")
        self.step += 1
