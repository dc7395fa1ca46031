"""The rows of `benchmark.py ops`: each kernel against the work that it is measured by."""

from __future__ import annotations

from typing import Any

from .rows import OURS, Contestant, Row
from .targets import AtMost, Deterministic, ExtraMemory, TimesFaster

Shape = list[int]
DDF_SHAPES = ([2, 256, 200, 304], [8, 128, 28, 28])
DENSITIES = (0.2, 0.35, 0.5, 0.8)
# inputs of 3x3 convolutions in versatile_resnet50
NESTED_SHAPES = ([8, 128, 28, 28], [1, 128, 28, 28], [8, 256, 14, 14], [1, 256, 14, 14])
NESTED_LIMITS = {3: 1.15, 5: 1.45}  # by the side of the stored kernels
OCTAVE_SHAPE = [8, 128, 56, 56]


def op_rows() -> list[Row]:
    """All rows; "oneDNN" is `ops.conv2d`, with the threads and memory that our kernels have."""
    rows = [*map(_ddf, DDF_SHAPES)]
    rows += map(_ddf_backward, DDF_SHAPES)
    rows += [_interpolate([1, 64, 200, 304], 0.35)]
    rows += [_sampled([1, 256, 100, 152], density) for density in DENSITIES]
    rows += [_nested(shape, side) for side in NESTED_LIMITS for shape in NESTED_SHAPES]
    return [*rows, *(_octave(job) for job in ("octave_pool", "octave_upsample_add"))]


def _in_ours(job: str, **arguments: Any) -> Contestant:
    return Contestant(OURS, {"job": job, **arguments})


def _depthwise(shape: Shape) -> Contestant:
    return _in_ours("convolution", shape=shape, outputs=shape[1], kernel_size=3, groups=shape[1])


def _ddf(shape: Shape) -> Row:
    contestants = {
        OURS: _in_ours("ddf", shape=shape),
        "oneDNN depthwise": _depthwise(shape),
        "PyTorch depthwise": Contestant("torch", {"job": "depthwise", "shape": shape}),
        "unfold": Contestant("stock-threads", {"job": "ddf_unfold", "shape": shape}),
        "unfold, memory kept": _in_ours("ddf_unfold", shape=shape),
    }
    targets = (AtMost("oneDNN depthwise", 1.0), TimesFaster("unfold", 40), ExtraMemory(0.05))
    small = {"job": "ddf", "shape": [2, 8, 16, 16]}
    return Row(f"ddf_{_text(shape)}", f"ddf forward, {_text(shape)}, k=3", contestants, targets, warm_up=small)


def _ddf_backward(shape: Shape) -> Row:
    contestants = {
        OURS: _in_ours("ddf_backward", shape=shape),
        "its forward": _in_ours("ddf", shape=shape),
    }
    work = f"ddf backward, all three gradients, {_text(shape)}, k=3"
    return Row(f"ddf_backward_{_text(shape)}", work, contestants, (AtMost("its forward", 3), Deterministic()))


def _interpolate(shape: Shape, density: float) -> Row:
    contestants = {
        OURS: _in_ours("interpolate", shape=shape, density=density),
        "oneDNN depthwise": _depthwise(shape),
        "PyTorch depthwise": Contestant("torch", {"job": "depthwise", "shape": shape}),
    }
    work = f"sample_interpolate, inference, {_text(shape)}, 7x7, sigma 3, density {density:g}"
    return Row("sample_interpolate", work, contestants, (AtMost("oneDNN depthwise", 1.0),))


def _sampled(shape: Shape, density: float) -> Row:
    width = shape[1]
    contestants = {
        OURS: _in_ours("sampled_convolution", shape=shape, outputs=width, density=density),
        "oneDNN dense": _in_ours("convolution", shape=shape, outputs=width, kernel_size=3),
    }
    work = f"sampled_conv2d, 3x3, {_text(shape)} to {width}, density {density:g}"
    targets = (AtMost("oneDNN dense", round(density + 0.12, 2)),)
    return Row(f"sampled_conv2d_{density:g}", work, contestants, targets)


def _nested(shape: Shape, side: int) -> Row:
    crops = (side + 1) // 2
    stored = -(-shape[1] // crops)
    ordinary = f"oneDNN {side}x{side} with 1/{crops} of the outputs"
    contestants = {
        OURS: _in_ours("nested_convolution", shape=shape, stored=stored, kernel_size=side),
        ordinary: _in_ours("convolution", shape=shape, outputs=stored, kernel_size=side),
    }
    work = f"nested versatile {side}x{side}, {_text(shape)} to {stored * crops}"
    targets = (AtMost(ordinary, NESTED_LIMITS[side]),)
    return Row(f"nested_{side}x{side}_{_text(shape)}", work, contestants, targets)


def _octave(job: str) -> Row:
    shape = OCTAVE_SHAPE
    contestants = {
        OURS: _in_ours(job, shape=shape),
        "plain Paddle": Contestant("stock-threads", {"job": job, "shape": shape}),
    }
    return Row(job, f"{job}, {_text(shape)}", contestants)


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
