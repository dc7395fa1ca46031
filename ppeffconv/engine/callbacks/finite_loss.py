"""Stops training when the loss is not finite."""

from __future__ import annotations

from typing import Any

import paddle

from ..distributed import any_process
from ..finite import ForwardRecorder, NonFiniteLossError, is_finite
from .base import RunCallback


class FiniteLoss(RunCallback):
    """Raises ``NonFiniteLossError`` before the optimizer can spoil the weights, naming epoch, step and layer.

    It wraps the loss of ``paddle.Model``, because no hook of a callback runs between the loss and the update.
    """

    def __init__(self) -> None:
        super().__init__()
        self._step = 0
        self._loss: Any = None
        self._recorder: ForwardRecorder | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._loss, self.model._loss = self.model._loss, self._checked_loss
        self._recorder = ForwardRecorder(self.model.network)

    def on_train_batch_begin(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self._step = step

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.release()

    def release(self) -> None:
        """Give the Model its own loss back; called at the end of training, also by an error."""
        if self._recorder is not None:
            self.model._loss = self._loss
            self._recorder.remove()
            self._recorder = None

    def _checked_loss(self, *arguments: paddle.Tensor) -> Any:
        loss = self._loss(*arguments)
        finite = is_finite(loss)
        if not any_process(not finite):
            return loss
        where = self._recorder.explain() if not finite else "it happened in another process"
        self.release()
        raise NonFiniteLossError(
            f"the loss is not finite in epoch {self.epoch + 1}, step {self._step + 1}: {where}. "
            "Checkpoints are untouched; try a lower Optimizer.lr, a warm-up or Optimizer.grad_clip"
        )
