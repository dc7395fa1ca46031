"""The Builder: makes a program step by step, each step once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from paddle import nn

from .fold import NOTHING, NotLowerable, Tail, fold
from .program import INPUT, Program
from .shapes import Shape, infer
from .steps import OPS, Step, make_step

Pair = tuple[int, int]


@dataclass(frozen=True)
class Map:
    """A feature map in a program that is being built.

    Attributes:
        name: in the program.
        channels: of the map.
        size: (height, width) where it is the same for every input, else None.
        flat: it stands for the vector [N, channels * height * width].
    """

    name: str
    channels: int
    size: Pair | None = None
    flat: bool = False


class Builder:
    """Collects steps; a step that is already there, weights and all, is not made again.

    Args:
        channels: of the input.
        names: of the layers, by id, for labels and messages.

    Attributes:
        notes: what the user should know about the deploy form.
    """

    def __init__(self, channels: int, names: dict[int, str] | None = None) -> None:
        self.input = Map(INPUT, channels)
        self.notes: list[str] = []
        self.label = ""  # of the layer that is being lowered
        self._names = names or {}
        self._streams = 0
        self._shapes: dict[str, Shape] = {INPUT: Shape(channels, None)}
        self._steps: list[Step] = []
        self._made: dict[tuple, Map] = {}
        self._weights: list[np.ndarray] = []
        self._indices: dict[tuple, int] = {}

    def note(self, text: str) -> None:
        """Remember what the user should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def next_stream(self) -> int:
        """Number of the next sampling mask, whose noise has a stream of its own."""
        self._streams += 1
        return self._streams - 1

    def name(self, layer: nn.Layer) -> str:
        """Path of a layer in the network."""
        return self._names.get(id(layer), "")

    @contextmanager
    def at(self, layer: nn.Layer) -> Iterator[None]:
        """Label the steps that are made meanwhile by a layer of the network."""
        outer, self.label = self.label, self.name(layer) or self.label
        try:
            yield
        finally:
            self.label = outer

    def weight(self, values: np.ndarray) -> int:
        """Number of a weight; equal ones are kept once."""
        values = np.ascontiguousarray(values, dtype="float32")
        key = values.shape, hashlib.blake2b(values).digest()
        if key not in self._indices:
            self._indices[key] = len(self._weights)
            self._weights.append(values)
        return self._indices[key]

    def step(self, op: str, **keys: Any) -> Map:
        """Add a step: maps are given as `Map`, weights as arrays, ``in_`` is the key ``in``."""
        read = {key: self._value(value) for key, value in keys.items()}
        draft = make_step(op, "", self.label, **read)
        identity = op, tuple(draft.keys.items())
        if identity in self._made:
            return self._made[identity]
        made = replace(draft, out=f"v{len(self._steps) + 1}")
        try:
            shape = infer(made, self._shapes, self._weights)
        except ValueError as error:
            raise NotLowerable(str(error)) from error
        self._steps.append(made)
        self._shapes[made.out] = shape
        self._made[identity] = Map(made.out, *shape)
        return self._made[identity]

    def _value(self, value: Any) -> Any:
        if isinstance(value, Map):
            return value.name
        if isinstance(value, np.ndarray):
            return self.weight(value)
        if isinstance(value, (tuple, list)):
            return tuple(self._value(item) for item in value)
        return value

    def conv(
        self,
        inputs: Map | Sequence[Map],
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
        tail: Tail = NOTHING,
        up: Map | None = None,
        mask: Map | None = None,
    ) -> Map:
        """A convolution of the concatenated inputs, with its tail folded in; see the op ``conv``."""
        weight, bias = fold(weight, bias, tail)
        geometry = {"stride": _ints(stride), "padding": _ints(padding), "dilation": _ints(dilation), "groups": groups}
        maps = (inputs,) if isinstance(inputs, Map) else tuple(inputs)
        fused = {"act": tail.act, "add": tail.add, "up": up, "mask": mask}
        return self.step("conv", in_=maps, weight=weight, bias=bias, **geometry, **fused)

    def finish(self, x: Map, tail: Tail) -> Map:
        """Apply a tail that could not be fused."""
        if tail.is_empty:
            return x
        if tail.scale is not None or tail.shift is not None:
            scale, shift = tail.affine(x.channels)
            y = self.step("affine", in_=x, scale=scale, shift=shift, act=tail.act, add=tail.add)
        elif tail.add is not None:
            y = self.step("add", in_=(x, tail.add), act=tail.act)
        else:
            y = self.step("act", in_=x, act=tail.act)
        return replace(y, flat=x.flat)

    def program(self, outputs: Sequence[Map], dtype: str, seed: int) -> Program:
        """The steps that the outputs need, renumbered.

        Raises:
            NotLowerable: vectors beside maps, or a map that was flattened and not used.
        """
        flat = {out.flat for out in outputs}
        if len(flat) > 1 or any(out.flat and out.size != (1, 1) for out in outputs):
            raise NotLowerable("its outputs are flattened maps, which only a fully connected layer can take")
        needed = {out.name for out in outputs}
        kept: list[Step] = []
        for step in reversed(self._steps):
            if step.out in needed:
                needed.update(step.inputs)
                kept.append(step)
        steps, names, weights = _renumber(kept[::-1], self._weights)
        return Program(
            self.input.channels,
            steps,
            tuple(names[out.name] for out in outputs),
            weights,
            flat.pop(),
            dtype,
            seed,
        )


def _ints(pair: Sequence[int]) -> Pair:
    height, width = pair
    return int(height), int(width)


def _renumber(
    steps: list[Step], weights: list[np.ndarray]
) -> tuple[tuple[Step, ...], dict[str, str], tuple[np.ndarray, ...]]:
    """Names v1, v2, ... and weights 0, 1, ... in the order of their first use."""
    names, order, renamed = {INPUT: INPUT}, {}, []
    for step in steps:
        keys = {}
        for key, value in step.keys.items():
            kind = OPS[step.op][key].kind
            if kind == "map":
                value = names[value]
            elif kind == "maps":
                value = tuple(names[name] for name in value)
            elif kind == "weight":
                value = order.setdefault(value, len(order))
            keys[key] = value
        names[step.out] = f"v{len(names)}"
        renamed.append(replace(step, out=names[step.out], keys=keys))
    return tuple(renamed), names, tuple(weights[index] for index in order)
