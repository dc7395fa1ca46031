"""What `deploy` made of a network, for people."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paddle

from ..utils.numbers import is_size
from ..utils.runtime import threads
from .program import Program
from .steps import Step

OWN_PASS = ("act", "add", "affine")  # steps that only exist where nothing could take them in


@dataclass(frozen=True)
class Part:
    """A layer that became a program.

    Attributes:
        name: in the network, "" for the network itself.
        kind: its class.
        program: what it became.
        notes: where the deploy form differs from the layer.
        behind: what Paddle does with the program's outputs, and why; "" for nothing.
        times: milliseconds of the layer and of the program on the same input, where they were measured.
    """

    name: str
    kind: str
    program: Program
    notes: tuple[str, ...] = ()
    behind: str = ""
    times: tuple[float, float] | None = None

    @property
    def line(self) -> str:
        """In short."""
        gain = f", {self.times[1]:.2f} ms instead of {self.times[0]:.2f}" if self.times else ""
        return f"{self.name or 'the network'} ({self.kind}): one program of {len(self.program.steps)} steps{gain}"

    def __str__(self) -> str:
        steps = self.program.steps
        ops = ", ".join(f"{count} {op}" for op, count in Counter(step.op for step in steps).most_common())
        fused = [step for step in steps if step.op not in OWN_PASS]
        acts = sum(step.keys.get("act", "none") != "none" for step in fused)
        sums = sum(isinstance(step.keys.get(key), str) for step in fused for key in ("add", "up"))
        alone = Counter(_describe(step) for step in steps if step.op in OWN_PASS)
        left = ", ".join(f"{count} {what}" for what, count in alone.most_common()) or "nothing"
        lines = [
            f"{self.line}, {self.program.dtype}",
            f"  steps: {ops}",
            f"  fused into other steps: {acts} activations, {sums} sums, and batch norms; a pass of their own: {left}",
        ]
        if self.behind:
            lines.append(f"  in Paddle: {self.behind}")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


@dataclass(frozen=True)
class Kept:
    """A layer that stayed as it was, and why.

    Attributes:
        times: milliseconds of the layer and of a program in its place, where they were measured.
    """

    name: str
    kind: str
    reason: str
    times: tuple[float, float] | None = None

    def __str__(self) -> str:
        took = f": {self.times[0]:.2f} ms as it was, {self.times[1]:.2f} ms as a program" if self.times else ""
        return f"{self.name or 'the network'} ({self.kind}): {self.reason}{took}"


@dataclass(frozen=True)
class DeployReport:
    """What became a program, and what stayed; printing it gives a text.

    Attributes:
        parts: the programs, in the order of the network.
        kept: layers that stayed, with the reason.
        tried: on what the parts were tried, and how long the network took with and without them.
    """

    parts: Sequence[Part]
    kept: Sequence[Kept] = field(default=())
    tried: str = ""

    def __str__(self) -> str:
        lines = [str(part) if len(self.parts) == 1 else part.line for part in self.parts] or ["nothing is a program"]
        lines += [self.tried] if self.tried else []
        if self.kept:
            lines.append("stayed as they were:")
            lines += [f"  {row}" for row in self.kept]
        return "\n".join(lines)


def cost(program: Program, input_shape: Sequence[int], densities: Mapping[str, float]) -> str:
    """A line about the multiply-adds of a program, with sampling masks at their measured densities as well."""
    dense = program.macs(input_shape)
    line = f"  multiply-adds per image of {tuple(input_shape)}: {dense / 1e9:.3f} G"
    if densities:
        measured = list(densities.values())
        mean = sum(measured) / len(measured)
        line += f" dense, {program.macs(input_shape, measured) / 1e9:.3f} G at the last densities (mean {mean:.2f})"
    return line


def as_images(value: Any) -> Any:
    """A tensor of an array, which may be images; any other value, and an array that may be a shape, as it is."""
    return paddle.to_tensor(value) if isinstance(value, np.ndarray) and value.ndim > 1 else value


def timing(forward: Callable[[], object], rounds: int, batch: int) -> str:
    """A line about the time of a forward: the median of some, after one that is not counted."""
    if not is_size(rounds):
        raise ValueError(f"report: rounds must be an integer >= 1, got {rounds!r}")
    forward()
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        forward()
        took.append(1e3 * (time.perf_counter() - start))
    each = f" ({statistics.median(took) / batch:.2f} per image)" if batch > 1 else ""
    return f"  measured: {statistics.median(took):.2f} ms{each}, median of {rounds} with {threads()} threads"


def _describe(step: Step) -> str:
    return {"act": f"act {step['act']}", "add": "sum", "affine": "batch norm"}[step.op]
