"""The interpreter in plain Paddle: the oracle of the engine, and the form that any runtime can take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paddle import Tensor
from paddle.jit import not_to_static

from . import reference_basic as basic
from . import reference_methods as methods
from . import reference_sampling as sampling
from .program import Program
from .reference_basic import Frame
from .steps import Step

_OPS: dict[str, Callable[[Step, Frame], Tensor]] = {
    "conv": basic.conv,
    "pool": basic.pool,
    "adaptive": basic.adaptive,
    "mean": basic.mean,
    "upsample": basic.upsample,
    "resize": basic.resize,
    "concat": basic.concat,
    "slice": basic.slice_channels,
    "add": basic.add,
    "mul": basic.mul,
    "affine": basic.affine,
    "act": basic.act,
    "nested": methods.nested,
    "sp": methods.sp,
    "filters": methods.filters,
    "ddf": methods.ddf,
    "mask": sampling.mask,
    "fill": sampling.fill,
}


@not_to_static  # nothing here branches on a tensor: the ops can be recorded as they come
def run(program: Program, x: Tensor, weights: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of a program, and the share of positions that each of its masks keeps.

    Args:
        x: [N, channels, H, W] in float32.
        weights: as ``program.weights``.
    """
    frame = Frame(x, weights, program.seed)
    for step, unused in zip(program.steps, program.last_uses):
        y = _OPS[step.op](step, frame)
        if program.dtype == "bfloat16" and step.out not in program.outputs:
            y = y.astype("bfloat16").astype("float32")
        frame.maps[step.out] = y
        for name in unused:
            frame.maps[name] = None
    outputs = [frame.maps[name] for name in program.outputs]
    return [y.flatten(1) for y in outputs] if program.flat else outputs, frame.densities
