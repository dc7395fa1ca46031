"""Deployed: a program as a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.hapi.dynamic_flops import register_hooks
from paddle.jit import not_to_static

from ..layers.density import LastForward
from ..layers.paddle_tools import count_extra
from ..ops.backend import BACKENDS, choose_backend
from ..ops.deployed import deployed, hold
from ..utils.messages import brief
from . import reference
from .outputs import BEHIND, RETURNS
from .program import Program
from .report import Part, as_images, cost, timing


class Weight(paddle.Tensor):
    """A frozen weight: its version counts every change, also by the two methods whose changes Paddle does not count."""

    def set_value(self, value: Any) -> None:
        """Paddle's own."""
        super().set_value(value)
        self._bump_inplace_version()

    def copy_(self, *args: Any) -> Any:
        """Paddle's own."""
        y = super().copy_(*args)
        self._bump_inplace_version()
        return y

    def __deepcopy__(self, memo: dict[int, Any]) -> Weight:
        return Weight(self.numpy())


class Deployed(nn.Layer):
    """A network in its deploy form: [N, channels, H, W] in float32 -> what the network returns.

    The weights are buffers w0, w1, ...; nothing here trains, and `train` and `eval` change nothing. Other numbers in
    them, by `set_state_dict`, `set_value` or an in-place operator of Paddle's, count from the next call on. What is
    written into their memory without Paddle's knowledge, as through DLPack, does not.

    Args:
        program: see `lower`.
        backend: "auto" takes the compiled engine where it is loaded and the input is float32 on CPU; "cpu" insists on
            it; "reference" is the interpreter in plain Paddle.
        name, kind: of the layer that it stands for, and its class.
        returns: a key of `outputs.RETURNS`: "tensor", "list", of an octave pair (high, low) "pair", "high" (the low one
            is None) or "low", ...
        notes: where it differs from that layer.

    Attributes:
        program: the program, whose ``text`` is readable.
        traced_backend: what a traced graph holds: "reference" (Paddle's own ops) or "cpu" (the engine's op).
    """

    def __init__(
        self,
        program: Program,
        backend: str = "auto",
        name: str = "",
        kind: str = "Program",
        returns: str = "tensor",
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"Deployed: backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        self.backend, self.returns = backend, returns
        self.traced_backend = "reference"
        self._weight_names = [f"w{i}" for i in range(len(program.weights))]
        for key, values in zip(self._weight_names, program.weights):
            self.register_buffer(key, paddle.zeros([1]))
            self._buffers[key] = Weight(np.array(values, "float32"))  # a kind that `register_buffer` does not know
        # the buffers in place of the arrays: weights are in memory once
        self.program = replace(program, weights=tuple(self._weights()))
        self.part = Part(name, kind, self.program, tuple(notes), BEHIND.get(returns, ""))
        self._last = LastForward()
        self._packed = _Packed()

    def forward(self, x: Tensor) -> Tensor | list[Tensor] | tuple[Tensor | None, Tensor | None]:
        _check(x, self.program)
        weights = self._weights()
        if self._choose(x) == "cpu":
            outputs, densities = _run_engine(x, weights, self.program, self.uid)
        else:
            outputs, densities = reference.run(self.program, x, weights)
        self._record(densities)
        return RETURNS[self.returns](outputs, x)

    @not_to_static
    def _weights(self) -> list[Tensor]:
        if paddle.in_dynamic_mode():
            return [self._buffers[name] for name in self._weight_names]
        # in a traced graph an attribute is the graph's own value of a buffer
        return [getattr(self, name) for name in self._weight_names]

    @not_to_static
    def _choose(self, x: Tensor) -> str:
        if not paddle.in_dynamic_mode():
            return self.traced_backend
        return choose_backend("deployed", self.backend, x)

    def _record(self, densities: Tensor | list[Tensor]) -> None:
        self._last.record(densities=densities)

    @property
    def densities(self) -> dict[str, float]:
        """Share of positions that each sampling mask kept in the last eager forward, by layer; {} without masks."""
        names = (step.label or step.out for step in self.program.masks)
        return {name: float(value) for name, value in zip(names, self._last.get("densities", ()))}

    @property
    def uid(self) -> str:
        """Fingerprint of the text and the weights, under which the engine keeps its prepared weights."""
        weights = [self._buffers[name] for name in self._weight_names]
        seen = [(weight.data_ptr(), weight.inplace_version) for weight in weights]
        if self._packed.seen != seen:
            digest = hashlib.sha256(self.program.text.encode())
            for weight in weights:
                digest.update(np.ascontiguousarray(weight.numpy()).data)
            self._packed.become(self, digest.hexdigest(), seen)
        return self._packed.uid

    def report(self, on: Sequence[int] | Tensor | np.ndarray | None = None, rounds: int = 5) -> str:
        """What was fused and what was not.

        Args:
            on: an input shape (C, H, W), for the multiply-adds as well; or images [N, C, H, W], which are run: for the
                masks' densities, the multiply-adds at these, and milliseconds by the clock, side by side.
            rounds: forwards that are timed, after one that is not.
        """
        lines, on = [str(self.part)], as_images(on)
        if isinstance(on, Tensor):
            took = timing(lambda: self(on), rounds, len(on))  # first, for its masks' densities
            lines += [cost(self.program, on.shape[1:], self.densities), took]
        elif on is not None:
            lines.append(cost(self.program, on, self.densities))
        return "\n".join(lines)

    def extra_macs(self, inputs: Tensor, outputs: Any) -> int:
        """Multiply-adds of the dense program, for `ppeffconv.profile` and `paddle.flops`."""
        return inputs.shape[0] * self.program.macs(inputs.shape[1:])

    def extra_repr(self) -> str:
        """For ``print(net)``."""
        return f"{len(self.program.steps)} steps, {self.program.dtype}, backend={self.backend}"


register_hooks[Deployed] = count_extra


class _Packed:
    """What the engine keeps for a layer: its name, and the weights that it was made of."""

    def __init__(self) -> None:
        self.uid = ""
        self.seen: list[tuple[int, int]] | None = None  # address and version of each weight
        self._let_go: Callable[[], Any] = lambda: None

    def become(self, owner: nn.Layer, uid: str, seen: list[tuple[int, int]]) -> None:
        """Hold ``uid`` in place of what was held so far, and of equal weights at other addresses the same."""
        let_go, self._let_go = self._let_go, hold(owner, uid)
        let_go()
        self.uid, self.seen = uid, seen

    def __deepcopy__(self, memo: dict[int, Any]) -> _Packed:
        return _Packed()  # a copy of the layer holds for itself


@not_to_static
def _run_engine(x: Tensor, weights: list[Tensor], program: Program, uid: str) -> tuple[list[Tensor], Any]:
    try:
        outputs = deployed(x, weights, program.text, uid)
    except OSError as error:  # Paddle's class for what a kernel says
        raise ValueError(f"a deployed network fails on images {list(x.shape)}: {brief(error)}") from error
    count = len(program.outputs)
    return outputs[:count], outputs[count] if program.masks else []


@not_to_static  # pure checks: nothing to trace
def _check(x: Tensor, program: Program) -> None:
    channels = program.channels
    if not hasattr(x, "stop_gradient"):
        raise ValueError(
            f"a deployed network expects a tensor of Paddle [N, {channels}, H, W], got {type(x).__name__}: "
            "paddle.to_tensor(x) makes one of an array"
        )
    if getattr(x, "ndim", None) != 4 or x.shape[1] not in (channels, -1):
        got = list(x.shape) if hasattr(x, "shape") else type(x).__name__
        raise ValueError(f"a deployed network expects input [N, {channels}, H, W], got {got}")
    if x.dtype != paddle.float32:
        raise ValueError(f"a deployed network expects float32, got {x.dtype}; convert with x.astype('float32')")
    if not paddle.in_dynamic_mode():  # what is wrong with a graph is told at once, not by its first run
        size = tuple(x.shape[2:])
        program.infer(size if min(size) > 0 else None)
