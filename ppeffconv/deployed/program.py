"""The program of a deployed network: a straight line of steps over feature maps, and its text form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..registry import did_you_mean
from ..utils.numbers import is_shape
from .shapes import Shape, infer, macs
from .steps import Step, parse_step

VERSION = 1
DTYPES = ("float32", "bfloat16")
INPUT = "x"


class Traced(NamedTuple):
    """A step at one input size.

    Attributes:
        output_shape: (N, C, H, W).
        macs: multiply-adds for one image.
    """

    step: Step
    output_shape: tuple[int, int, int, int]
    macs: int


@dataclass(frozen=True, eq=False)
class Program:
    """Steps over feature maps [N, C, H, W], with the weights that they name by number.

    Attributes:
        channels: of the input ``x``.
        steps: in the order in which they run; every map is made once.
        outputs: names of the maps that the network returns.
        weights: float32 arrays, or, in a `Deployed`, its buffers.
        flat: the outputs are 1x1 maps, returned as [N, C].
        dtype: of the feature maps, "float32" or "bfloat16".
        seed: of the sampling noise.
    """

    channels: int
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    weights: tuple[Any, ...] = field(repr=False)
    flat: bool = False
    dtype: str = "float32"
    seed: int = 0

    @cached_property
    def text(self) -> str:
        """The program without its weights, one step a line."""
        return "\n".join(
            (
                f"ppeffconv-program {VERSION} {self.dtype} seed={self.seed}",
                f"input {INPUT} {self.channels}",
                *map(str, self.steps),
                f"output {','.join(self.outputs)}{' flat=1' if self.flat else ''}",
            )
        )

    def __str__(self) -> str:
        return self.text

    @cached_property
    def masks(self) -> tuple[Step, ...]:
        """The steps that make sampling masks, in order."""
        return tuple(step for step in self.steps if step.op == "mask")

    @cached_property
    def last_uses(self) -> tuple[tuple[str, ...], ...]:
        """For each step the maps that nothing reads after it."""
        free, seen = [], set(self.outputs)
        for step in reversed(self.steps):
            free.append(tuple({name for name in step.inputs if name not in seen}))
            seen.update(step.inputs)
        return tuple(free[::-1])

    def trace(self, input_shape: Sequence[int], densities: Sequence[float] = ()) -> list[Traced]:
        """Output shape and multiply-adds of every step.

        Args:
            input_shape: (C, H, W) or (N, C, H, W).
            densities: of the masks, in the order of ``masks``; without them masked convolutions count as dense.

        Raises:
            ValueError: an input of another width, or too small for the network, or another number of densities.
        """
        batch, channels, height, width = _batched(input_shape)
        if channels != self.channels:
            raise ValueError(f"trace: the program takes {self.channels} channels, got {tuple(input_shape)}")
        if len(densities) not in (0, len(self.masks)):
            raise ValueError(f"trace: expected {len(self.masks)} densities, one a mask, got {len(densities)}")
        share = {step.out: float(density) for step, density in zip(self.masks, densities)}
        maps, rows = self.infer((height, width)), []
        for step in self.steps:
            shape = (batch, maps[step.out].channels, *maps[step.out].size)
            rows.append(Traced(step, shape, macs(step, maps, self.weights, share)))
        return rows

    def infer(self, size: tuple[int, int] | None) -> dict[str, Shape]:
        """Shapes of all maps by name, for an input of a size, or of one that is not known.

        Raises:
            ValueError: the input is too small for the network.
        """
        maps = {INPUT: Shape(self.channels, size)}
        for step in self.steps:
            maps[step.out] = infer(step, maps, self.weights)
        return maps

    def macs(self, input_shape: Sequence[int], densities: Sequence[float] = ()) -> int:
        """Multiply-adds of one image; arguments as of `trace`."""
        return sum(row.macs for row in self.trace(input_shape, densities))

    @classmethod
    def parse(cls, text: str, weights: Sequence[np.ndarray]) -> Program:
        """The program that ``text`` describes.

        Raises:
            ValueError: an unknown version, op or key, a map used before it is made, or a weight that is not there; the
                message names the line.
        """
        lines = text.strip().split("\n")
        if len(lines) < 3:
            raise ValueError(f"a program needs a head, an input and an output line, got {len(lines)} lines")
        dtype, seed = _parse_head(lines[0])
        channels = lines[1].removeprefix(f"input {INPUT} ")
        if not channels.isdigit():
            raise ValueError(f"line 2 of a program must be 'input {INPUT} <channels>', got '{lines[1]}'")
        steps = tuple(_at_line(i, parse_step, line) for i, line in enumerate(lines[2:-1], start=3))
        outputs, flat = _at_line(len(lines), _parse_output, lines[-1])
        _check_names(steps, outputs, len(weights))
        return cls(int(channels), steps, outputs, tuple(weights), flat, dtype, seed)


def _batched(input_shape: Sequence[int]) -> tuple[int, int, int, int]:
    if not is_shape(input_shape, 3, 4):
        raise ValueError(f"an input shape is (C, H, W) or (N, C, H, W) of positive integers, got {input_shape!r}")
    shape = tuple(map(int, input_shape))
    return (1, *shape) if len(shape) == 3 else shape


def _parse_head(line: str) -> tuple[str, int]:
    tokens = line.split(" ")
    if tokens[0] != "ppeffconv-program" or len(tokens) != 4 or not tokens[3].startswith("seed="):
        raise ValueError(f"line 1 must be 'ppeffconv-program {VERSION} float32 seed=0' or the like, got '{line}'")
    if tokens[1] != str(VERSION):
        raise ValueError(
            f"the program is of version {tokens[1]}, this installation reads version {VERSION}; deploy the network "
            "again with this version of ppeffconv, or install the version that made it"
        )
    if tokens[2] not in DTYPES:
        raise ValueError(f"a program's dtype must be one of {', '.join(DTYPES)}, got '{tokens[2]}'")
    return tokens[2], int(tokens[3].removeprefix("seed="))


def _parse_output(line: str) -> tuple[tuple[str, ...], bool]:
    word, *rest = line.split(" ")
    if word != "output" or not rest or rest[1:] not in ([], ["flat=1"]):
        raise ValueError(f"the last line must be 'output <names>' or 'output <names> flat=1', got '{line}'")
    return tuple(rest[0].split(",")), len(rest) == 2


def _at_line(number: int, read: Any, line: str) -> Any:
    try:
        return read(line)
    except ValueError as error:
        raise ValueError(f"line {number} of the program: {error}") from error


def _check_names(steps: Sequence[Step], outputs: Sequence[str], weights: int) -> None:
    known = {INPUT}
    for number, step in enumerate(steps, start=3):
        for name in step.inputs:
            if name not in known:
                raise ValueError(f"line {number} of the program: '{name}' is not made by an earlier step")
        if step.out in known:
            raise ValueError(f"line {number} of the program: '{step.out}' is made a second time")
        bad = [index for index in step.weights if not 0 <= index < weights]
        if bad:
            raise ValueError(f"line {number} of the program: there is no weight {bad[0]}, only {weights} of them")
        known.add(step.out)
    for name in outputs:
        if name not in known:
            raise ValueError(f"the program's output '{name}' is not made by any step.{did_you_mean(name, known)}")
