"""`deploy`: the deploy form of a network, whole or, where a part has none, of what it is made of."""

from __future__ import annotations

from paddle import nn

from .layer import Deployed
from .lower import lower
from .program import DTYPES


def deploy(net: nn.Layer, dtype: str = "float32", seed: int = 0, backend: str = "auto") -> nn.Layer:
    """The deploy form of ``net`` in eval mode, which is not changed."""
    if not isinstance(net, nn.Layer):
        raise ValueError(f"deploy: net must be a paddle.nn.Layer, got {type(net).__name__}")
    if dtype not in DTYPES:
        raise ValueError(f"deploy: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    program, builder = lower(net, dtype, seed)
    return Deployed(program, backend)
