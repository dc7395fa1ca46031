"""Shapes and multiply-adds of the steps, from the shapes of what they read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..ops.reference_nested import nested_filters
from .steps import Step


class Shape(NamedTuple):
    """Channels and (height, width) of a map; None where the size depends on the input's."""

    channels: int
    size: tuple[int, int] | None


Shapes = Mapping[str, Shape]
Weights = Sequence[Any]  # anything with a shape
MOST_TAPS, MOST_MASK_TAPS, MOST_SCALE = 1024, 16, 63  # of a window in the engine, of a mask's, and of a resizing


def infer(step: Step, maps: Shapes, weights: Weights) -> Shape:
    """Shape of what ``step`` makes.

    Raises:
        ValueError: the maps that it reads do not fit it or each other.
    """
    if step.op in _LIMITED:
        got, most, what = _LIMITED[step.op](step, weights)
        if got > most:
            raise ValueError(f"the engine's '{step.op}' takes {what} up to {most}, got {got}")
    shape = _SHAPES.get(step.op, _same)(step, maps, weights)
    if shape.size is not None and min(shape.size) < 1:
        raise ValueError(f"the input is too small: '{step}' has no output")
    for key in ("add", "up"):  # in `ddf` up is a number
        name = step.keys.get(key)
        if isinstance(name, str) and maps[name].channels != shape.channels:
            raise ValueError(f"'{step}' makes {shape.channels} channels, but {name} has {maps[name].channels}")
    return shape


def macs(step: Step, maps: Shapes, weights: Weights, densities: Mapping[str, float]) -> int:
    """Multiply-adds of ``step`` per image; ``maps`` with known sizes, ``densities`` of the masks by name (else 1)."""
    count = _MACS.get(step.op)
    return 0 if count is None else round(count(step, maps, weights, densities))


def window_size(size: tuple[int, int] | None, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil: int = 0):
    """Output size of a window that slides over ``size``; None of None.

    As Paddle counts, which rounds towards zero: one window may hang over the end of a map a little smaller than it.
    """
    if size is None:
        return None
    ends = (n + 2 * p - d * (k - 1) - 1 for n, k, p, d in zip(size, kernel, padding, dilation))
    return tuple(int((end + (s - 1) * ceil) / s) + 1 for end, s in zip(ends, stride))


def _of(step: Step, maps: Shapes, key: str = "in") -> Shape:
    return maps[step[key] if isinstance(step[key], str) else step[key][0]]


def _same(step: Step, maps: Shapes, weights: Weights) -> Shape:
    return _of(step, maps)


def _conv(step: Step, maps: Shapes, weights: Weights) -> Shape:
    out, per_group, *kernel = weights[step["weight"]].shape
    channels = sum(maps[name].channels for name in step["in"])
    if channels != per_group * step["groups"] or out % step["groups"]:
        raise ValueError(f"'{step}': a weight {[out, per_group, *kernel]} does not fit {channels} channels")
    size = window_size(_of(step, maps).size, kernel, step["stride"], step["padding"], step["dilation"])
    return Shape(out, size)


def _pool(step: Step, maps: Shapes, weights: Weights) -> Shape:
    channels, size = _of(step, maps)
    return Shape(channels, window_size(size, step["kernel"], step["stride"], step["padding"], ceil=step["ceil"]))


def _upsample(step: Step, maps: Shapes, weights: Weights) -> Shape:
    channels, size = _of(step, maps)
    if step["like"] is not None:
        return Shape(channels, maps[step["like"]].size)
    return Shape(channels, None if size is None else (2 * size[0], 2 * size[1]))


def _resize(step: Step, maps: Shapes, weights: Weights) -> Shape:
    channels, size = _of(step, maps)
    if size is None:
        return Shape(channels, None)
    return Shape(channels, tuple(int(side * step["scale"]) for side in size))


def _nested(step: Step, maps: Shapes, weights: Weights) -> Shape:
    kernel = weights[step["weight"]].shape[2:]
    size = window_size(_of(step, maps).size, kernel, step["stride"], step["padding"], step["dilation"])
    return Shape(weights[step["scale"]].shape[0], size)


def _sp(step: Step, maps: Shapes, weights: Weights) -> Shape:
    size = window_size(_of(step, maps).size, (3, 3), step["stride"], step["dilation"], step["dilation"])
    return Shape(weights[step["grouped"]].shape[0], size)


def _ddf(step: Step, maps: Shapes, weights: Weights) -> Shape:
    size = maps[step["spatial"]].size
    up = step["up"]
    return Shape(_of(step, maps).channels, None if size is None else (up * size[0], up * size[1]))


def _mask(step: Step, maps: Shapes, weights: Weights) -> Shape:
    kernel = weights[step["weight"]].shape[2:]
    return Shape(1, window_size(_of(step, maps).size, kernel, step["stride"], step["padding"], step["dilation"]))


# what the compiled engine cannot take, though a layer may have it: (got, most, what) by op
_LIMITED: dict[str, Callable[[Step, Weights], tuple[float, int, str]]] = {
    "pool": lambda step, weights: (math.prod(step["kernel"]), MOST_TAPS, "a window of"),
    "filters": lambda step, weights: (step["taps"], MOST_TAPS, "a window of"),
    "ddf": lambda step, weights: (step["up"], MOST_SCALE, "a factor"),
    "resize": lambda step, weights: (step["scale"], MOST_SCALE, "a factor"),
    "mask": lambda step, weights: (math.prod(weights[step["weight"]].shape[2:]), MOST_MASK_TAPS, "a window of"),
    "fill": lambda step, weights: (
        0 if step["table"] is None else math.prod(weights[step["table"]].shape),
        MOST_TAPS,
        "a window of",
    ),
}
_SHAPES: dict[str, Callable[[Step, Shapes, Weights], Shape]] = {
    "conv": _conv,
    "pool": _pool,
    "adaptive": lambda step, maps, weights: Shape(_of(step, maps).channels, step["size"]),
    "mean": lambda step, maps, weights: Shape(_of(step, maps).channels, (1, 1)),
    "upsample": _upsample,
    "resize": _resize,
    "concat": lambda step, maps, weights: Shape(sum(maps[n].channels for n in step["in"]), _of(step, maps).size),
    "slice": lambda step, maps, weights: Shape(step["count"], _of(step, maps).size),
    "nested": _nested,
    "sp": _sp,
    "ddf": _ddf,
    "mask": _mask,
}


def _positions(step: Step, maps: Shapes) -> int:
    return math.prod(maps[step.out].size)


def _conv_macs(step: Step, maps: Shapes, weights: Weights, densities: Mapping[str, float]) -> float:
    return _positions(step, maps) * math.prod(weights[step["weight"]].shape) * densities.get(step.keys.get("mask"), 1.0)


def _nested_macs(step: Step, maps: Shapes, weights: Weights, densities: Mapping[str, float]) -> float:
    """Each crop on its own, as `VersatileConv2D.extra_macs`."""
    filters, per_group, kh, kw = weights[step["weight"]].shape
    taps = sum((kh - 2 * i) * (kw - 2 * i) for i in range(nested_filters((kh, kw))))
    windows = step["delta"] // step["g"] + 1
    return _positions(step, maps) * filters * windows * taps * (per_group - step["delta"])


def _sp_macs(step: Step, maps: Shapes, weights: Weights, densities: Mapping[str, float]) -> float:
    kernels = (weights[step[key]].shape for key in ("grouped", "pointwise", "redundant"))
    return _positions(step, maps) * sum(map(math.prod, kernels))


def _ddf_macs(step: Step, maps: Shapes, weights: Weights, densities: Mapping[str, float]) -> float:
    return _positions(step, maps) * maps[step.out].channels * step["kernel"] ** 2


def _fill_macs(step: Step, maps: Shapes, weights: Weights, densities: Mapping[str, float]) -> float:
    """The paper's accounting: a share 1 - d of the positions, each from a share d of its window."""
    if step["table"] is None:
        return 0
    density = densities.get(step["mask"], 1.0)
    window = math.prod(weights[step["table"]].shape)
    return _positions(step, maps) * maps[step.out].channels * window * density * (1 - density)


_MACS: dict[str, Callable[[Step, Shapes, Weights, Mapping[str, float]], float]] = {
    "conv": _conv_macs,
    "nested": _nested_macs,
    "sp": _sp_macs,
    "ddf": _ddf_macs,
    "mask": _conv_macs,
    "fill": _fill_macs,
}
