"""Evaluation in the midst of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from paddle import nn


@contextmanager
def eval_mode(net: nn.Layer) -> Iterator[None]:
    """Have ``net`` in eval mode; each layer then gets back the mode that it had, also one that was frozen."""
    modes = [(layer, layer.training) for layer in net.sublayers(include_self=True)]
    net.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training
