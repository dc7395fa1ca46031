"""Which layer of a network makes a value that is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from ..utils.rng import rng_state, set_rng_state


class NonFiniteLossError(RuntimeError):
    """The training loss has become NaN or infinite."""


def is_finite(value: Any) -> bool:
    """Return False if a floating tensor, in whatever lists or dicts, holds a NaN or an infinity."""
    tensors = [t for t in paddle.utils.flatten(value) if isinstance(t, paddle.Tensor) and t.is_floating_point()]
    return all(bool(paddle.isfinite(tensor).all()) for tensor in tensors)


class ForwardRecorder:
    """Remembers the inputs of a network's last forward, and the random state it began with, to run it again."""

    def __init__(self, net: nn.Layer) -> None:
        self.net = net
        self.inputs: Sequence[Any] = ()
        self._rng = rng_state()
        self._hook = net.register_forward_pre_hook(self._remember)

    def _remember(self, net: nn.Layer, inputs: Sequence[Any]) -> None:
        self.inputs = inputs
        self._rng = rng_state()

    def remove(self) -> None:
        """Stop remembering."""
        self._hook.remove()
        self.inputs = ()

    def explain(self) -> str:
        """Run the last forward again and say, in words, where the first value that is not finite appears."""
        if not is_finite(self.inputs):
            return "the batch of images itself is not finite"
        found: list[str] = []
        hooks = [
            layer.register_forward_post_hook(_reporter(name or type(layer).__name__, found))
            for name, layer in self.net.named_sublayers(include_self=True)
        ]
        set_rng_state(self._rng)
        try:
            with paddle.no_grad():
                self.net(*self.inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return found[0] if found else "every layer's output is finite, so the loss itself overflows"


def _reporter(name: str, found: list[str]) -> Any:
    """Make a hook that notes the layer ``name`` if its output is not finite."""

    def hook(layer: nn.Layer, inputs: Any, outputs: Any) -> None:
        if found or is_finite(outputs):
            return
        bad = [key for key, value in layer.named_parameters(include_sublayers=False) if not is_finite(value)]
        why = f", whose parameter '{bad[0]}' is not finite" if bad else ""
        found.append(f"the first output that is not finite is that of layer '{name}' ({type(layer).__name__}){why}")

    return hook
