"""Evaluation during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from paddle import nn

from ...utils.logger import get_logger
from ..distributed import share_statistics
from ..evaluator import describe_result, evaluate
from .base import RunCallback
from .ema import EMA

Evaluator = Callable[[nn.Layer, Iterable], dict[str, float]]


class Evaluation(RunCallback):
    """Evaluates every ``interval`` epochs and at the end, and adds ``eval_loss``, ``eval_top1``, ... to the logs.

    Put it before the callbacks that read these logs.

    Args:
        loader: of the evaluation data.
        interval: epochs.
        evaluator: (network, loader) -> figures, with ``samples``, their number; default: `evaluate`, of classification.
        ema: its averaged weights are evaluated in place of the network's.
    """

    def __init__(
        self,
        loader: Iterable,
        interval: int = 1,
        evaluator: Evaluator = evaluate,
        ema: EMA | None = None,
    ) -> None:
        super().__init__()
        self.loader = loader
        self.interval = interval
        self.evaluator = evaluator
        self.ema = ema

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        for name in [name for name in logs if name.startswith("eval_")]:
            del logs[name]
        if (epoch + 1) % self.interval and epoch + 1 < self.params["epochs"]:
            return
        net = self.model.network
        with self.ema.applied(net) if self.ema else nullcontext():
            share_statistics(net)
            result = self.evaluator(net, self.loader)
        logs.update({f"eval_{name}": value for name, value in result.items()})
        weights = " (averaged weights)" if self.ema else ""
        get_logger().info(f"evaluation after epoch {epoch + 1}{weights}: {describe_result(result)}")
