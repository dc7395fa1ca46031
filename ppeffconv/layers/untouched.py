"""Whether a layer may be gone around: nobody would notice that it is not called."""

from __future__ import annotations

from types import MethodType

from paddle import nn


def has_hooks(layer: nn.Layer) -> bool:
    """Whether something runs before or after its forward; `paddle.nn.utils.weight_norm` computes the weight so."""
    return bool(layer._forward_pre_hooks or layer._forward_post_hooks)


def has_new_forward(layer: nn.Layer) -> bool:
    """Whether its forward was replaced on the object.

    Some tools of Paddle (`paddle.flops`) leave the class's own forward there, which is none.
    """
    forward = vars(layer).get("forward")
    own = isinstance(forward, MethodType) and forward.__self__ is layer and forward.__func__ is type(layer).forward
    return forward is not None and not own


def is_untouched(layer: nn.Layer, kind: type[nn.Layer]) -> bool:
    """Whether ``layer`` computes what a ``kind`` does, its forward and nothing else."""
    return (
        isinstance(layer, kind)
        and type(layer).forward is kind.forward
        and not has_hooks(layer)
        and not has_new_forward(layer)
    )
