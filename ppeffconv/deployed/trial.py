"""A trial: a network runs with some layers replaced, and is compared with what it was, and timed beside it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from ..accelerate import accelerate
from ..utils.messages import brief
from ..utils.nested import leaves
from ..utils.numbers import is_shape
from .program import Program
from .report import as_images

SIDES = (224, 32, 28, 64, 128, 299, 512)
"""Heights and widths of images that are tried, in this order, on a network of which no input is known."""
# How far results may differ, in standard deviations of the output. Folding rounds otherwise than batch norm does; with
# masks a rounding may move a position across its threshold; bfloat16 has 8 bits.
SAME, FOLDED, MASKED, BFLOAT16 = 1e-5, 1e-4, 1e-2, 0.1
ROUNDS, SPENT = 5, 0.05  # a race ends after so many rounds, or seconds if these take longer
# what the forward of somebody's network raises when it is not given what it expects
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

Call = tuple[tuple[Any, ...], dict[str, Any]]


def tolerance_of(programs: Sequence[Program]) -> float:
    """How far a network with these programs in it may be from what it was, in standard deviations of its output."""
    kinds = {
        BFLOAT16: any(program.dtype == "bfloat16" for program in programs),
        MASKED: any(program.masks for program in programs),
        FOLDED: len(programs) > 0,
        SAME: True,
    }
    return next(bound for bound, applies in kinds.items() if applies)


def distance(got: Any, expected: Any) -> float:
    """The largest difference of two (nested) outputs in standard deviations of the expected ones; infinite if they
    differ in shape or in kind.
    """
    pairs = list(zip(map(_array, leaves(got)), map(_array, leaves(expected))))
    if len(leaves(got)) != len(leaves(expected)) or any(a.shape != b.shape for a, b in pairs):
        return math.inf
    apart = [float(np.abs(a - b).max() / (b.std() or 1.0)) for a, b in pairs if a.size]
    return math.inf if any(map(math.isnan, apart)) else max(apart, default=0.0)


def _array(value: Any) -> np.ndarray:
    value = value.astype("float32").numpy() if isinstance(value, Tensor) else value
    return np.asarray(value, "float64") if np.asarray(value).dtype.kind in "biuf" else np.zeros(0)


def race(*forwards: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, ...]:
    """Milliseconds of each of some forwards: the best of several rounds, in which each has its turn."""
    best, spent = [math.inf] * len(forwards), 0.0
    for done in range(100):
        if done >= rounds and spent > SPENT:
            break
        for i, forward in enumerate(forwards):
            start = time.perf_counter()
            forward()
            took = time.perf_counter() - start
            best[i], spent = min(best[i], took), spent + took
    return tuple(1e3 * seconds for seconds in best)


class Trial:
    """A network on one input: its outputs, and with what each layer of it is called.

    Args:
        net: any network; it stays as it is.
        example: what it is called with: a shape (C, H, W) or (N, C, H, W) of random images, a tensor, or a tuple of the
            arguments of its forward. None tries images of ``channels`` channels and the ``SIDES`` of usual data sets.

    Attributes:
        base: a copy in eval mode, accelerated: what a network in parts has to be better than.
        arguments: of its forward; None if there is none that it takes.
        problem: why not.
        calls: of each layer, by the id of the layer in ``net``.

    Raises:
        ValueError: the network cannot be copied, or it does not take the example.
    """

    def __init__(self, net: nn.Layer, example: Any = None, channels: int = 3) -> None:
        self.net, self._memo = net, {}
        self.base = self._copy(self._memo)
        self.calls: dict[int, list[Call]] = {}
        self.arguments: tuple[Any, ...] | None = None
        self.problem = ""
        tried = [(1, channels, side, side) for side in SIDES] if example is None else [example]
        for arguments in map(_arguments, tried):
            try:
                self.expected = self._record(arguments)
            except FAILURES as error:
                self.problem = self.problem or f"on {_told(arguments)} it fails: {brief(error)}"
                continue
            self.arguments, self.problem = arguments, ""
            break
        if self.problem and example is not None:
            raise ValueError(f"deploy: the network does not take the example: {self.problem}")
        # of a network that is random there is nothing to compare
        self.is_steady = self.arguments is not None and distance(self.run(self.base), self.expected) == 0

    def __str__(self) -> str:
        return _told(self.arguments)

    def run(self, net: nn.Layer) -> Any:
        """What a network returns for the input."""
        with paddle.no_grad():
            return net(*self.arguments)

    def twin(self, layer: nn.Layer) -> nn.Layer:
        """The layer of ``base`` that is the copy of a layer of ``net``."""
        return self._memo[id(layer)]

    def with_parts(self, parts: Mapping[int, nn.Layer]) -> nn.Layer:
        """A copy of the network, in eval mode and accelerated, with layers replaced by the ids of those of ``net``."""
        return self._copy(dict(parts))

    def problem_with(self, parts: Mapping[int, nn.Layer], tolerance: float | None) -> str:
        """Why the network cannot use these parts, "" if it can: it must run, and its outputs stay what they were.

        Args:
            tolerance: in standard deviations of the output; None asks for the shapes alone.
        """
        try:
            got = self.run(self.with_parts(parts))
        except FAILURES as error:
            return f"with a program in its place the network fails: {type(error).__name__}: {brief(error)}"
        apart = distance(got, self.expected)
        if math.isinf(apart) or (self.is_steady and tolerance is not None and apart > tolerance):
            return f"with a program in its place the network's output differs by {apart:.1e} standard deviations"
        return ""

    def _copy(self, memo: dict[int, Any]) -> nn.Layer:
        try:
            new = copy.deepcopy(self.net, memo)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"deploy works on a copy, and {type(self.net).__name__} cannot be copied: {brief(error)}"
            ) from error
        new.eval()
        return accelerate(new)

    def _record(self, arguments: tuple[Any, ...]) -> Any:
        """Run ``base``, and note with what each of its layers is called."""
        self.calls = {id(layer): [] for layer in self.net.sublayers(include_self=True)}
        hooks = [
            self.twin(layer).register_forward_pre_hook(partial(_note, self.calls[id(layer)]), with_kwargs=True)
            for layer in self.net.sublayers()
        ]
        try:
            with paddle.no_grad():
                return self.base(*arguments)
        finally:
            for hook in hooks:
                hook.remove()


def _note(calls: list[Call], layer: nn.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    calls.append((args, kwargs))


def _arguments(example: Any) -> tuple[Any, ...]:
    """The arguments that ``example`` stands for."""
    if isinstance(example, (Tensor, np.ndarray)):
        return (as_images(example),)
    if not isinstance(example, (tuple, list)) or not example:
        raise ValueError(f"deploy: example must be a shape, a tensor or a tuple of them, got {example!r}")
    if not all(isinstance(size, (int, float, np.number)) for size in example):
        return tuple(map(as_images, example))
    if not is_shape(example, 3, 4):
        raise ValueError(f"deploy: an example's shape is (C, H, W) or (N, C, H, W), each >= 1, got {tuple(example)}")
    shape = (1, *example)[-4:]
    return (paddle.to_tensor(np.random.default_rng(0).standard_normal(shape).astype("float32")),)


def _told(arguments: Sequence[Any]) -> str:
    return ", ".join(str(list(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in arguments)
