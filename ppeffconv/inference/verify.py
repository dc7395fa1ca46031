"""Comparing what was exported with the network, on random images of several batch and image sizes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from ..deployed.trial import FAILURES, distance, tolerance_of
from ..utils.messages import brief
from ..utils.nested import leaves, structure
from .traced import deployed_layers

Arrays = list[np.ndarray]


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
        RuntimeError: ``net`` is random and has no deterministic form, its outputs are no tensors or not finite, or it
            does not take such images.
    """

    def __init__(self, net: nn.Layer, form: nn.Layer, input_shape: Sequence[int], fixed_size: bool) -> None:
        programs = [layer.program for layer in deployed_layers(form)]
        self.tolerance = tolerance_of(programs)
        self._by_network = (form is not net and not _differs(form)) or not programs
        self._net, self._form = net, form
        self.cases = [self.case((batch, *input_shape)) for batch in (1, 3)]
        if not fixed_size:
            self.cases.append(self._another_size(input_shape))

    def _another_size(self, input_shape: Sequence[int]) -> tuple[np.ndarray, Arrays]:
        """Images of an odd height and width."""
        channels, height, width = input_shape
        try:
            return self.case((2, channels, (height + 3) | 1, (width + 6) | 1))
        except RuntimeError as error:
            raise RuntimeError(f"{error}; if it needs one image size, export(..., fixed_size=True)") from error

    def case(self, shape: tuple[int, ...]) -> tuple[np.ndarray, Arrays]:
        """Random images [N, C, H, W] and what is expected of them."""
        images = _random(shape)
        ask = _by_network if self._by_network else _by_plain_paddle
        expected = ask(self._net if self._by_network else self._form, images)
        if not all(np.isfinite(array).all() for array in expected):
            raise RuntimeError("the network's output for random images is not finite: train it before the export")
        return images, expected


def compare(run: Callable[[np.ndarray], Any], check: Check, what: str) -> dict[str, Any]:
    """Return how close ``run`` comes: the largest error in standard deviations, and how often the best class agrees.

    Raises:
        RuntimeError: not close enough; ``what`` names the culprit.
    """
    worst, agreed = 0.0, []
    for images, expected in check.cases:
        got = leaves(run(images))
        error = distance(got, expected)
        if not error <= check.tolerance:
            raise RuntimeError(
                f"{what} differs from the network by {error:.2e} standard deviations on images {list(images.shape)} "
                f"(expected at most {check.tolerance:.0e}): nothing was exported"
            )
        worst = max(worst, error)
        if expected[0].ndim == 2:
            agreed += list(got[0].argmax(1) == expected[0].argmax(1))
    count = sum(len(images) for images, _ in check.cases)
    return {"error": worst, "top1_agreement": float(np.mean(agreed)) if agreed else None, "images": count}


def confirmed_size(predictor: Any, check: Check, smallest: Sequence[int]) -> list[int]:
    """The height and width from which on a saved network gives the network's numbers: ``smallest``, or what the check
    was made with.

    Args:
        predictor: of a folder whose manifest says ``smallest``.
    """
    *_, height, width = predictor.info["input_shape"]
    if not predictor.info["fixed_size"] and list(smallest) != [height, width]:
        try:
            images, expected = check.case((2, predictor.info["input_shape"][0], *smallest))
            if distance(leaves(predictor.run(images)), expected) <= check.tolerance:
                return list(smallest)
        except RuntimeError:
            pass
        return [height, width]
    return list(smallest)


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


def try_images(net: nn.Layer, shape: Sequence[int]) -> None:
    """Run a network on random images [N, C, H, W]; RuntimeError, which says why, if it does not take them."""
    _outputs(net, _random(shape))


def _random(shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(shape[0]).standard_normal(shape).astype("float32")


def _outputs(net: nn.Layer, images: np.ndarray) -> Arrays:
    try:
        with paddle.no_grad():
            returned = net(paddle.to_tensor(images))
    except FAILURES as error:
        raise RuntimeError(f"the network fails on images {list(images.shape)}: {brief(error)}") from error
    outputs = leaves(returned)
    others = [type(value).__name__ for value in outputs if not isinstance(value, Tensor)]
    if others or not outputs:
        raise RuntimeError(f"the network returns {others[0] if others else 'nothing'}, and an export only tensors")
    nesting = structure(returned)
    if json.loads(json.dumps(nesting, skipkeys=True)) != nesting:
        raise RuntimeError("the network returns a dict whose keys are no strings, which a manifest cannot hold")
    return [out.numpy() for out in outputs]
