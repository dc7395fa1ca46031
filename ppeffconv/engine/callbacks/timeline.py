"""Runs callbacks on the clock of the whole training, also when it was resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle.callbacks import Callback
from paddle.hapi.callbacks import CallbackList


class Timeline(Callback):
    """Passes every hook on to ``callbacks`` with the epoch and step that an uninterrupted run would show.

    ``paddle.Model.fit`` counts epochs from 0 and steps from the first batch of its loader; it cannot start in the
    middle. So the counts are shifted here, once, and the batch sampler is told the epoch and how much of it to skip.

    Args:
        callbacks: called in this order.
        sampler: an ``EpochBatchSampler``, or None if the loader needs not know the epoch.
        steps: batches of a whole epoch.
        start_epoch: complete epochs behind us.
        start_step: steps behind us in the epoch that was interrupted.

    Attributes:
        steps_done: since the training was started or resumed.
    """

    def __init__(
        self,
        callbacks: Sequence[Callback],
        sampler: Any = None,
        steps: int | None = None,
        start_epoch: int = 0,
        start_step: int = 0,
    ) -> None:
        super().__init__()
        self.callbacks = CallbackList(callbacks)
        self.sampler = sampler
        self.steps = steps
        self.start_epoch = start_epoch
        self.start_step = start_step
        self.steps_done = 0
        self._skipped = 0
        self._logs: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        shifted = {"epochs": params["epochs"] + self.start_epoch, "steps": self.steps or params["steps"]}
        self.params = {**params, **shifted}
        self.callbacks.set_params(self.params)

    def set_model(self, model: paddle.Model) -> None:
        self.model = model
        self.callbacks.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.callbacks.on_begin("train", logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.callbacks.on_end("train", logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._skipped = self.start_step if epoch == 0 else 0
        if self.sampler is not None:
            self.sampler.set_epoch(epoch + self.start_epoch, self._skipped)
        self.callbacks.on_epoch_begin(epoch + self.start_epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.callbacks.on_epoch_end(epoch + self.start_epoch, self._fresh(logs))

    def on_train_batch_begin(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self._logs = {}
        self.callbacks.on_batch_begin("train", step + self._skipped, self._logs)

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self.steps_done += 1
        self._logs.update(self._fresh(logs))
        self.callbacks.on_batch_end("train", step + self._skipped, self._logs)

    def _fresh(self, logs: dict[str, Any] | None) -> dict[str, Any]:
        """Return what ``fit`` itself has logged.

        It hands out one dict for ever, even to the fit of the next Model, with all that callbacks have put into it.
        """
        names = (*self.params["metrics"], "step", "batch_size")
        return {name: logs[name] for name in names if name in (logs or {})}
