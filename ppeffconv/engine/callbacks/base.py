"""What the callbacks share: the step of the whole run, and a stopwatch."""

from __future__ import annotations

import time
from typing import Any

from paddle.callbacks import Callback


class RunCallback(Callback):
    """A callback that knows where it is in the run. Subclasses that override ``on_epoch_begin`` call it."""

    epoch: int = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch

    def global_step(self, step: int) -> int:
        """Return the number of the training step, counted over all epochs, for ``step`` of the running epoch."""
        return self.epoch * self.params["steps"] + step

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.params["epochs"] * self.params["steps"]


class Stopwatch:
    """Mean costs of the steps since it was last read."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._reset()

    def start(self) -> None:
        """Begin to time now; what passed since the last step (an evaluation, a save) does not count."""
        self._last = time.perf_counter()

    def batch_ready(self) -> None:
        """A batch has been read and its step begins."""
        self._reader += time.perf_counter() - self._last

    def step_done(self, samples: int) -> None:
        """The step has ended; ``samples`` images went through it."""
        now = time.perf_counter()
        self._batch += now - self._last
        self._last = now
        self._steps += 1
        self._samples += samples

    def read(self) -> dict[str, float]:
        """Return ``batch_cost`` and ``reader_cost`` (seconds per step) and ``ips`` (images/s), and start a new mean."""
        steps, seconds = max(self._steps, 1), max(self._batch, 1e-9)
        costs = {
            "batch_cost": self._batch / steps,
            "reader_cost": self._reader / steps,
            "ips": self._samples / seconds,
        }
        self._reset()
        return costs

    def _reset(self) -> None:
        self._batch = self._reader = 0.0
        self._steps = self._samples = 0
