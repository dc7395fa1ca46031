"""Comparing what was exported with the network, on random images of several batch and image sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from .traced import TRACING_ERRORS, deployed_layers

Arrays = list[np.ndarray]
# How far results may differ, in standard deviations of the output. Folding rounds otherwise than batch norm does; with
# masks a rounding may move a position across its threshold; bfloat16 has 8 bits.
SAME, FOLDED, MASKED, BFLOAT16 = 1e-5, 1e-4, 1e-2, 0.1


class Check:
    """Random images, and what the network says about them.

    Args:
        net: in eval mode.
        form: what was saved of it.
        input_shape: (C, H, W).
        fixed_size: ask about this size only.

    Attributes:
        cases: images and the expected outputs.
        tolerance: in standard deviations of the expected output.

    Raises:
        RuntimeError: ``net`` is random and has no deterministic form, its outputs are not finite, or it cannot take
            another height and width.
    """

    def __init__(self, net: nn.Layer, form: nn.Layer, input_shape: Sequence[int], fixed_size: bool) -> None:
        programs = [layer.program for layer in deployed_layers(form)]
        kinds = {
            BFLOAT16: any(program.dtype == "bfloat16" for program in programs),
            MASKED: any(program.masks for program in programs),
            FOLDED: programs,
            SAME: True,
        }
        self.tolerance = next(bound for bound, applies in kinds.items() if applies)
        by_network = (form is not net and not _differs(form)) or not programs
        self.cases = []
        for number, shape in enumerate(_shapes(input_shape, fixed_size)):
            images = np.random.default_rng(number).standard_normal(shape).astype("float32")
            expected = _by_network(net, images) if by_network else _by_plain_paddle(form, images)
            if not all(np.isfinite(array).all() for array in expected):
                raise RuntimeError("the network's output for random images is not finite: train it before the export")
            self.cases.append((images, expected))


def compare(run: Callable[[np.ndarray], Any], check: Check, what: str) -> dict[str, Any]:
    """Return how close ``run`` comes: the largest error in standard deviations, and how often the best class agrees.

    Raises:
        RuntimeError: not close enough; ``what`` names the culprit.
    """
    worst, agreed = 0.0, []
    for images, expected in check.cases:
        got = run(images)
        got = got if isinstance(got, list) else [got]
        error = _error(got, expected)
        if not error <= check.tolerance:  # NaN fails as well
            raise RuntimeError(
                f"{what} differs from the network by {error:.2e} standard deviations on images {list(images.shape)} "
                f"(expected at most {check.tolerance:.0e}): nothing was exported"
            )
        worst = max(worst, error)
        if expected[0].ndim == 2:
            agreed += list(got[0].argmax(1) == expected[0].argmax(1))
    count = sum(len(images) for images, _ in check.cases)
    return {"error": worst, "top1_agreement": float(np.mean(agreed)) if agreed else None, "images": count}


def _error(got: Arrays, expected: Arrays) -> float:
    if [array.shape for array in got] != [array.shape for array in expected]:
        return np.inf
    return max(float(np.abs(a - b).max() / (b.std() or 1.0)) for a, b in zip(got, expected))


def _shapes(input_shape: Sequence[int], fixed_size: bool) -> list[tuple[int, ...]]:
    channels, height, width = input_shape
    shapes = [(1, channels, height, width), (3, channels, height, width)]
    return shapes if fixed_size else [*shapes, (2, channels, (height + 3) | 1, (width + 6) | 1)]


def _differs(form: nn.Layer) -> bool:
    """Whether the form does not compute what the network does: it has noise of its own, or says so."""
    layers = deployed_layers(form)
    return any(layer.part.notes or any(step["noise"] for step in layer.program.masks) for layer in layers)


def _by_network(net: nn.Layer, images: np.ndarray) -> Arrays:
    expected, again = _outputs(net, images), _outputs(net, images)
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, again)):
        raise RuntimeError(
            "the network gives two outputs for one input in eval mode, so its export cannot be checked or relied "
            "on: choose a deterministic eval mode (sampling networks: -o Arch.eval_mode=deterministic)"
        )
    return expected


def _by_plain_paddle(form: nn.Layer, images: np.ndarray) -> Arrays:
    """The outputs of a form whose programs run in float32 in the interpreter."""
    layers = deployed_layers(form)
    before = [(layer.backend, layer.program) for layer in layers]
    for layer in layers:
        layer.backend, layer.program = "reference", dataclasses.replace(layer.program, dtype="float32")
    try:
        return _outputs(form, images)
    finally:
        for layer, (backend, program) in zip(layers, before):
            layer.backend, layer.program = backend, program


def _outputs(net: nn.Layer, images: np.ndarray) -> Arrays:
    try:
        with paddle.no_grad():
            outputs = net(paddle.to_tensor(images))
    except TRACING_ERRORS as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise RuntimeError(
            f"the network fails on images {list(images.shape)} ({line}); if it needs one image size, "
            "export(..., fixed_size=True)"
        ) from error
    return [out.numpy() for out in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
