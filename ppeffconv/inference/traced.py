"""The network as a static program: what `export` saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.jit import not_to_static
from paddle.jit.dy2static import parameter_recorder

from ..deployed import Deployed
from ..deployed.trial import FAILURES
from ..utils.messages import brief
from ..utils.nested import rebuild, structure

INPUT = "images"


def deployed_layers(net: nn.Layer) -> list[Deployed]:
    """The layers of ``net`` that are programs; perhaps itself."""
    return [layer for layer in net.sublayers(include_self=True) if isinstance(layer, Deployed)]


class _Recording(Deployed):
    """A program that keeps the densities of the graph into which it is traced."""

    @not_to_static
    def _record(self, densities: Tensor | list[Tensor]) -> None:
        parts = densities if isinstance(densities, list) else [densities]
        self.traced_densities = [part.reshape([-1]) for part in parts]


class Traced(nn.Layer):
    """A network for tracing: its outputs, and as the last one the densities of its sampling masks, if it has any.

    Args:
        net: [N, C, H, W] -> tensor or list of tensors.
        engine: put the compiled engine's op into the program where it can run a part; else Paddle's own ops only.
        densities: return them as well.

    Attributes:
        engine: whether the program needs the compiled engine.
        masks: names of the sampling masks, in the order of their densities.
        returns: what ``net`` returned when it was traced: "array", "list", or how its arrays are nested, see
            `ppeffconv.utils.nested`.
    """

    def __init__(self, net: nn.Layer, engine: bool, densities: bool = True) -> None:
        super().__init__()
        self.net = net
        self._programs = deployed_layers(net)
        self.engine = engine and bool(self._programs)
        masks = [step for layer in self._programs for step in layer.program.masks] if densities else []
        self.masks = [step.label or step.out for step in masks]
        self.returns = "array"

    def forward(self, images: Tensor) -> list[Tensor]:
        return self._collect(self.net(images), images)

    @not_to_static
    def _collect(self, outputs: Any, images: Tensor) -> list[Tensor]:
        flat: list[Tensor] = []
        form = structure(outputs, flat.append)
        flat, places = _distinct(flat, images)
        form = rebuild(form, places)
        self.returns = "array" if form == 0 else "list" if form == [*range(len(flat))] else form
        if self.masks:
            flat.append(paddle.concat([part for layer in self._programs for part in layer.traced_densities]))
        return flat

    def save(self, prefix: Path, input_shape: Sequence[int], fixed_size: bool) -> None:
        """Save the program for any batch size, and unless ``fixed_size`` any height and width, as ``prefix``.json.

        Raises:
            RuntimeError: it cannot be traced.
            OSError: it cannot be written.
        """
        size = list(input_shape[1:]) if fixed_size else [None, None]
        spec = paddle.static.InputSpec([None, input_shape[0], *size], "float32", name=INPUT)
        try:
            with self._recording(), _forgotten_traces(), _unknown_sizes(self.net), paddle.no_grad():
                paddle.jit.save(self, str(prefix), input_spec=[spec])
        except FAILURES as error:
            if isinstance(error, OSError) and error.errno:  # of the system, not of the network
                raise
            remedy = "" if fixed_size else "; if it needs one image size, export(..., fixed_size=True)"
            raise RuntimeError(f"Paddle cannot trace the network ({brief(error)}){remedy}") from error

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """The programs take their part in a trace."""
        before = [(layer, layer.traced_backend, type(layer)) for layer in self._programs]
        for layer in self._programs:
            layer.traced_backend, layer.__class__ = "cpu" if self.engine else "reference", _Recording
            _ = layer.uid  # a fingerprint of numbers, which a traced graph does not have
        try:
            yield
        finally:
            for layer, backend, kind in before:
                layer.traced_backend, layer.__class__ = backend, kind
                vars(layer).pop("traced_densities", None)


def _distinct(outputs: list[Tensor], images: Tensor) -> tuple[list[Tensor], list[int]]:
    """Each output once, and where in these each of all is: Paddle Inference loses a second name of one value, and an
    output that is the input needs another name than that.
    """
    distinct: list[Tensor] = []
    places = []
    for value in outputs:
        same = (place for place, other in enumerate(distinct) if value.is_same(other))
        places.append(next(same, len(distinct)))
        if places[-1] == len(distinct):
            distinct.append(value)
    return [paddle.assign(value) if value.is_same(images) else value for value in distinct], places


@contextmanager
def _forgotten_traces() -> Iterator[None]:
    """No trace finds what one that failed has left.

    Paddle records a trace's values by the address of its program, and takes them from there only if the trace succeeds.
    A later program at the same address would be given values that are gone, which ends the process.
    """
    _forget_traces()
    try:
        yield
    finally:
        _forget_traces()


def _forget_traces() -> None:
    parameters, replaced = parameter_recorder._global_parameter_recorder, parameter_recorder._global_inplace_map
    for records in (parameters.params_dict, parameters.tensor2value, replaced.params_dict):
        records.clear()


@contextmanager
def _unknown_sizes(net: nn.Layer) -> Iterator[None]:
    """Sizes that are not known stay so behind transposed convolutions."""
    layers = [layer for layer in net.sublayers(include_self=True) if isinstance(layer, nn.Conv2DTranspose)]
    hooks = [layer.register_forward_post_hook(_forget_sizes) for layer in layers if layer._data_format == "NCHW"]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@not_to_static
def _forget_sizes(layer: nn.Layer, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Paddle computes with -1, which stands for a size that is not known, as if it were one: the results may be 0, or
    any other number, and the checks of the layers behind would believe them.
    """
    sizes = [-1 if before < 0 else after for before, after in zip(inputs[0].shape[2:], output.shape[2:])]
    output.set_shape([*output.shape[:2], *sizes])
    return output
