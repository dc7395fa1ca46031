"""Evaluation during training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from ...utils.logger import get_logger
from ..distributed import share_statistics
from ..evaluator import evaluate
from ..losses import Criterion
from .base import RunCallback
from .ema import EMA


class Evaluation(RunCallback):
    """Evaluates every ``interval`` epochs and at the end, and adds ``eval_loss``, ``eval_top1``, ... to the logs.

    Put it before the callbacks that read these logs. With ``ema``, the averaged weights are evaluated.
    """

    def __init__(
        self,
        loader: Iterable,
        interval: int = 1,
        topk: Sequence[int] = (1, 5),
        ema: EMA | None = None,
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__()
        self.loader = loader
        self.interval = interval
        self.topk = tuple(topk)
        self.ema = ema
        self.criterion = criterion

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        for name in [name for name in logs if name.startswith("eval_")]:
            del logs[name]
        if (epoch + 1) % self.interval and epoch + 1 < self.params["epochs"]:
            return
        net = self.model.network
        with self.ema.applied(net) if self.ema else nullcontext():
            share_statistics(net)
            result = evaluate(net, self.loader, self.criterion, self.topk)
        logs.update({f"eval_{name}": value for name, value in result.items()})
        figures = " | ".join(f"{name} {value:.4f}" for name, value in result.items() if name != "samples")
        weights = " (averaged weights)" if self.ema else ""
        get_logger().info(f"evaluation after epoch {epoch + 1}{weights}: {figures} | samples {result['samples']}")
