"""What the steps of a deployed network are for, as tables and plots group them."""

from __future__ import annotations

from collections.abc import Sequence

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
