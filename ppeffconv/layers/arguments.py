"""What every layer takes besides its own arguments: NumPy's numbers, and ``weight_attr`` as Paddle's layers have it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from paddle import ParamAttr, Tensor, nn

from ..utils.numbers import plain_arguments

WeightAttr = ParamAttr | nn.initializer.Initializer | None
_KEYWORD = inspect.Parameter("weight_attr", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=WeightAttr)


def layer_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate the ``__init__`` of a layer: it takes ``weight_attr`` too, and numbers of NumPy are Python's to it.

    ``weight_attr`` is for the weights of its convolutions, all of them: an initializer, or a `paddle.ParamAttr`, whose
    initializer, learning rate, regularizer and flags they get. What decides rather than weighs (masks, gates, offsets:
    the layer's ``decisions``) is left alone. None is the layer's own initialisation.

    Raises:
        ValueError: ``weight_attr`` is neither.
    """

    init = plain_arguments(init)

    @functools.wraps(init)
    def decorated(self: nn.Layer, *args: Any, weight_attr: WeightAttr = None, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if weight_attr is not None:
            _give(weights_of(self), _as_attr(weight_attr, type(self).__name__))

    signature = inspect.signature(init)
    parameters = list(signature.parameters.values())
    position = len(parameters) - (parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
    parameters.insert(position, _KEYWORD)
    decorated.__signature__ = signature.replace(parameters=parameters)
    return decorated


def weights_of(layer: nn.Layer) -> list[Tensor]:
    """The weights of the convolutions in a layer, without those that its ``decisions`` name."""
    decisions = getattr(layer, "decisions", ())
    return [p for name, p in layer.named_parameters() if p.ndim >= 4 and name.split(".")[0] not in decisions]


def _as_attr(weight_attr: Any, layer: str) -> ParamAttr:
    if isinstance(weight_attr, nn.initializer.Initializer):
        return ParamAttr(initializer=weight_attr)
    if not isinstance(weight_attr, ParamAttr):
        raise ValueError(
            f"{layer}: weight_attr must be a paddle.ParamAttr, an initializer or None, got {weight_attr!r}"
        )
    return weight_attr


def _give(weights: list[Tensor], attr: ParamAttr) -> None:
    for i, weight in enumerate(weights):
        if attr.initializer is not None:
            attr.initializer(weight)
        if attr.name is not None:
            weight.name = attr.name if len(weights) == 1 else f"{attr.name}_{i}"  # optimizers know them by their names
        weight.optimize_attr = {"learning_rate": attr.learning_rate}
        if attr.regularizer is not None:
            weight.regularizer = attr.regularizer
        weight.need_clip, weight.do_model_average = attr.need_clip, attr.do_model_average
        weight.trainable = attr.trainable
