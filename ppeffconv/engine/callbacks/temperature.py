"""Temperature of the Gumbel samplers over a run."""

from __future__ import annotations

from typing import Any

from ...layers import set_temperature, temperature_at
from .base import RunCallback


class SamplingTemperature(RunCallback):
    """Sets T(step) = start * (end / start) ** (step / total_steps) before each step of a network that samples.

    An explicit function of the step, because decay in ``forward``, as in the authors' code, depends on how often
    ``forward`` runs. Networks without samplers are left alone.

    Args:
        start: temperature of the first step.
        end: temperature that the last step approaches; the authors' schedule lands on 0.03.
    """

    def __init__(self, start: float = 1.0, end: float = 0.03) -> None:
        super().__init__()
        if start <= 0 or end <= 0:
            raise ValueError(f"temperatures must be > 0, got start={start}, end={end}")
        self.start = start
        self.end = end
        self._samples = True

    def on_train_batch_begin(self, step: int, logs: dict[str, Any] | None = None) -> None:
        if self._samples:
            value = temperature_at(self.global_step(step), self.total_steps, self.start, self.end)
            self._samples = set_temperature(self.model.network, value) > 0
        if self._samples and logs is not None:
            logs["temperature"] = value
