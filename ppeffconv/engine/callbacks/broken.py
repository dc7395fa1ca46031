"""How many training images cannot be read."""

from __future__ import annotations

from typing import Any

from paddle.io import Dataset

from ...utils.logger import get_logger
from .base import RunCallback

SHOWN = 3


class BrokenSamples(RunCallback):
    """Says after an epoch how many training samples could not be read, if that has changed, and at the end anyway.

    Args:
        dataset: the training data; the names of its unreadable samples are its ``broken``.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.dataset = dataset
        self._said: list[str] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        last = epoch + 1 == self.params["epochs"]
        broken = self.dataset.broken
        if broken and (last or broken != self._said):
            shown = ", ".join(broken[:SHOWN]) + (", ..." if len(broken) > SHOWN else "")
            get_logger().warning(
                f"{len(broken)} of {len(self.dataset)} training samples could not be read, and others took their "
                f"place: {shown}"
            )
        self._said = broken
