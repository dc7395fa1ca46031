"""What the manifest of an exported network says about it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

from ..deployed import Deployed
from ..deployed.program import VERSION
from ..deployed.report import DeployReport
from ..deployed.trial import FAILURES
from ..models import profile
from ..utils.nested import leaves
from .traced import INPUT, Traced, deployed_layers

OWN = ("transforms", "image_mode", "class_names")  # what prediction on image files needs


def describe(traced: Traced, input_shape: Sequence[int], fixed_size: bool) -> dict[str, Any]:
    """What `Predictor` must know of a program that has been saved."""
    from .. import __version__

    layers = deployed_layers(traced.net)
    return {
        "versions": {"ppeffconv": __version__, "paddle": paddle.__version__, "program": VERSION},
        "engine": traced.engine,
        "programs": [layer.uid for layer in layers],
        "dtype": "bfloat16" if any(layer.program.dtype == "bfloat16" for layer in layers) else "float32",
        "seed": layers[0].program.seed if layers else None,
        "input": INPUT,
        "input_shape": list(input_shape),
        "input_dtype": "float32",
        "fixed_size": fixed_size,
        "returns": traced.returns,
        "masks": traced.masks,
    }


def smallest_size(form: nn.Layer, input_shape: Sequence[int]) -> list[int]:
    """The height and width below which a map shrinks to nothing, where Paddle computes on and reads beyond its memory.

    Known of a program; of other networks it is found by trying.

    Raises:
        ValueError: ``input_shape`` is smaller than that.
    """
    channels, height, width = input_shape
    if isinstance(form, Deployed):
        form.program.trace(input_shape)

    def fits(*size: int) -> bool:
        try:
            if isinstance(form, Deployed):
                return bool(form.program.trace((channels, *size)))
            return _runs(form, (1, channels, *size))
        except FAILURES:
            return False

    rows = bisect_left(range(1, height), True, key=lambda side: fits(side, width))
    columns = bisect_left(range(1, width), True, key=lambda side: fits(height, side))
    return [rows + 1, columns + 1]


def _runs(net: nn.Layer, shape: Sequence[int]) -> bool:
    """Whether a network takes images of this shape, and no layer of it returns a map without pixels."""
    sizes: list[int] = []

    def look(layer: nn.Layer, inputs: Any, outputs: Any) -> None:
        sizes.extend(min(value.shape, default=1) for value in leaves(outputs) if isinstance(value, paddle.Tensor))

    hooks = [layer.register_forward_post_hook(look) for layer in net.sublayers(include_self=True)]
    try:
        with paddle.no_grad():
            net(paddle.zeros(shape))
    finally:
        for hook in hooks:
            hook.remove()
    return min(sizes, default=1) > 0


def own_facts(info: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the user adds; ValueError if export sets it itself or nobody would read it."""
    if not isinstance(info, (Mapping, type(None))):
        raise ValueError(f"info must be a dict, got {type(info).__name__}")
    unknown = sorted(map(str, {*(info or {})} - {*OWN}))
    if unknown:
        raise ValueError(f"info may hold {', '.join(OWN)}, got {', '.join(unknown)}")
    return dict(info or {})


def report(net: nn.Layer, form: nn.Layer, input_shape: Sequence[int], densities: Mapping[str, float]) -> dict[str, Any]:
    """What was lowered into programs and what was not; multiply-adds of one image, and of a sampling network also those
    at ``densities``, which are given along.
    """
    layers = deployed_layers(form)
    found = getattr(form, "deploy_report", None) or DeployReport([layer.part for layer in layers])
    whole = form.program if isinstance(form, Deployed) else None
    return {
        "lowered": str(found).splitlines() if layers else ["nothing was lowered: Paddle's own operators run it"],
        "macs": whole.macs(input_shape) if whole else profile(net, input_shape).macs,
        "macs_at_densities": whole.macs(input_shape, [*densities.values()]) if whole and densities else None,
        "densities": dict(densities),
    }
