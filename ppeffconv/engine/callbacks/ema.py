"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from paddle import nn

from .base import RunCallback


class EMA(RunCallback):
    """Averages parameters and buffers after each step: ``ema = d * ema + (1 - d) * value``.

    ``d`` is ``min(decay, (1 + t) / (10 + t))`` at update ``t`` (from 1), so that a short run is not dominated by its
    initial weights. The average is kept in float32 whatever the network trains in; integers are copied.

    Args:
        decay: in (0, 1), such as 0.9999.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"EMA decay must be > 0 and < 1, got {decay}")
        self.decay = decay
        self.updates = 0
        self.weights: dict[str, paddle.Tensor] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.weights:
            self.load(self.model.network.state_dict(), 0)

    @paddle.no_grad()
    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self.model.network.state_dict().items():
            if value.is_floating_point():
                average = self.weights[name]
                average.set_value(decay * average + (1 - decay) * value.astype("float32"))
            else:
                self.weights[name] = value.clone()

    def load(self, weights: Mapping[str, paddle.Tensor | np.ndarray], updates: int) -> None:
        """Start from ``weights`` after ``updates`` updates, such as from a checkpoint."""
        self.weights = {name: _copy(value) for name, value in weights.items()}
        self.updates = updates

    @contextmanager
    def applied(self, net: nn.Layer) -> Iterator[None]:
        """Let ``net`` hold the averaged weights within a block, then its own again."""
        own = {name: value.clone() for name, value in net.state_dict().items()}
        _assign(net, self.weights)
        try:
            yield
        finally:
            _assign(net, own)


def _copy(value: paddle.Tensor | np.ndarray) -> paddle.Tensor:
    """Return a copy of its own, in float32 if it is a float."""
    copy = value.detach().clone() if isinstance(value, paddle.Tensor) else paddle.to_tensor(value)
    return copy.astype("float32") if copy.is_floating_point() else copy


@paddle.no_grad()
def _assign(net: nn.Layer, weights: Mapping[str, paddle.Tensor]) -> None:
    for name, value in net.state_dict().items():
        value.set_value(weights[name].astype(value.dtype))
