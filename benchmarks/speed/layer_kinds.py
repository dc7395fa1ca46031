"""What the steps of a deployed network are for, as tables and plots group them, and their multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ppeffconv.deployed.program import Program, Traced

CONVOLUTION = "convolution"
KINDS = {
    CONVOLUTION: ("conv", "sp", "nested"),
    "dynamic filters": ("filters", "ddf"),
    "masks": ("mask",),
    "interpolation": ("fill",),
    "pooling and resizing": ("pool", "adaptive", "mean", "upsample", "resize"),
    "other": (),  # sums, scales, slices; and the conversion of input and output
}
_KIND_OF = {op: kind for kind, ops in KINDS.items() for op in ops}


def by_kind(ops: Sequence[str], times: Sequence[float]) -> dict[str, float]:
    """Sums of times in ms; those behind the steps' are of input and output."""
    totals = dict.fromkeys(KINDS, 0.0)
    for i, time in enumerate(times):
        totals[_KIND_OF.get(ops[i], "other") if i < len(ops) else "other"] += time
    return totals


def share_of_others(layers: dict[str, float]) -> float:
    """Share of the time that is not in convolutions: neither ordinary ones, nor a method's, nor dynamic filters."""
    return 1 - (layers[CONVOLUTION] + layers["dynamic filters"]) / sum(layers.values())


def multiply_adds(program: Program, shape: Sequence[int], densities: Sequence[float] = ()) -> int:
    """Of an image, as the papers count: what versatile filters share among crops and windows is computed once."""
    return sum(_least(row, program) for row in program.trace(shape, densities))


def _least(row: Traced, program: Program) -> int:
    if row.step.op == "nested" and (row.step["mode"] == "paper" or not row.step["delta"]):
        return math.prod(row.output_shape[2:]) * math.prod(program.weights[row.step["weight"]].shape)
    return row.macs
