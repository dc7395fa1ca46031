"""The progress line: loss, learning rate, costs, images per second, time left, memory."""

from __future__ import annotations

import datetime
import resource
from typing import Any

import numpy as np
import paddle

from ...utils.device import is_gpu
from ...utils.logger import get_logger
from .base import RunCallback, Stopwatch


class Progress(RunCallback):
    """Logs the state of training every ``log_interval`` steps and at the last step of an epoch.

    The loss is the mean since the line before. ``batch_cost`` is seconds per step, reading included, and
    ``reader_cost`` the part of it spent waiting for data. ``max_mem`` is the peak of the device, or of the process.
    """

    def __init__(self, log_interval: int = 10) -> None:
        super().__init__()
        self.log_interval = log_interval
        self._watch = Stopwatch()
        self._losses: list[float] = []
        self._lr = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._watch.start()

    def on_train_batch_begin(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self._watch.batch_ready()
        self._lr = self.model._optimizer.get_lr()

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self._watch.step_done(logs["batch_size"])
        self._losses.append(float(np.mean(logs["loss"])))
        steps = self.params["steps"]
        if (step + 1) % self.log_interval and step + 1 != steps:
            return
        costs = self._watch.read()
        left = (self.total_steps - self.global_step(step) - 1) * costs["batch_cost"]
        fields = {
            "loss": f"{np.mean(self._losses):.4f}",
            "lr": f"{self._lr:.6f}",
            "batch_cost": f"{costs['batch_cost']:.3f} s",
            "reader_cost": f"{costs['reader_cost']:.3f} s",
            "ips": f"{costs['ips']:.1f} images/s",
            "eta": str(datetime.timedelta(seconds=round(left))),
            "max_mem": f"{peak_memory() / 2**20:.0f} MiB",
        }
        where = f"epoch {self.epoch + 1}/{self.params['epochs']} step {step + 1}/{steps}"
        get_logger().info(f"{where} | " + " | ".join(f"{name} {value}" for name, value in fields.items()))
        self._losses.clear()


def peak_memory() -> int:
    """Return the largest memory in use so far, in bytes: of the GPU that computes, else of this process."""
    if is_gpu():
        return paddle.device.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
