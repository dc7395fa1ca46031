"""What every layer takes besides its own arguments: NumPy's numbers, and ``weight_attr`` as Paddle's layers have it."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

from paddle import ParamAttr, Tensor, nn
from paddle.base import unique_name
from paddle.nn.initializer import Initializer
from paddle.regularizer import WeightDecayRegularizer

from ..utils.numbers import plain_arguments

Attr = ParamAttr | Initializer | WeightDecayRegularizer | str | bool | None
"""What Paddle's layers take as the attributes of a parameter; a string is its name."""
_KEYWORD = inspect.Parameter("weight_attr", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Attr)


def layer_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate the ``__init__`` of a layer: it takes ``weight_attr`` too, and numbers of NumPy are Python's to it.

    ``weight_attr`` is for the weights of its convolutions, all of them: an initializer, a regularizer, a name, or a
    `paddle.ParamAttr`, which has all of these, a learning rate and flags. What decides rather than weighs (masks,
    gates, offsets: the layer's ``decisions``) is left alone. Without an initializer the layer's own stays.

    Raises:
        ValueError: ``weight_attr`` is none of these, is False, or has the name of another parameter.
    """

    init = plain_arguments(init)

    @functools.wraps(init)
    def decorated(self: nn.Layer, *args: Any, weight_attr: Attr = None, **kwargs: Any) -> None:
        attr = as_attr(weight_attr, f"{type(self).__name__}: weight_attr", needed=True)
        init(self, *args, **kwargs)
        if weight_attr is not None:
            _give(weights_of(self), attr)

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


def as_attr(attr: Attr, what: str, needed: bool = False) -> ParamAttr | bool:
    """Attributes of a parameter in the form that has them all, or False unless it is ``needed``; or ValueError."""
    if not isinstance(attr, Attr) or (needed and attr is False):
        raise ValueError(
            f"{what} must be a paddle.ParamAttr, an initializer, a regularizer, a name or None, got {attr!r}"
        )
    return copy.copy(ParamAttr._to_attr(attr))


def bias_attribute(bias_attr: Attr, usual: ParamAttr) -> ParamAttr | bool:
    """Attributes of a bias: those given, with the initializer of ``usual`` where they have none; False for no bias."""
    attr = as_attr(bias_attr, "bias_attr")
    if attr is not False and attr.initializer is None:
        attr.initializer = usual.initializer
    return attr


def numbered(attr: Attr, number: int) -> Attr:
    """Attributes for one of several parameters, which must not share a name."""
    name = attr if isinstance(attr, str) else getattr(attr, "name", None)
    if name is None:
        return attr
    attr = as_attr(attr, "bias_attr")
    attr.name = f"{name}_{number}"
    return attr


def _give(weights: list[Tensor], attr: ParamAttr) -> None:
    for i, weight in enumerate(weights):
        if attr.initializer is not None:
            attr.initializer(weight)
        if attr.name is not None:
            weight.name = _own_name(attr.name if len(weights) == 1 else f"{attr.name}_{i}")
        weight.optimize_attr = {"learning_rate": attr.learning_rate}
        if attr.regularizer is not None:
            weight.regularizer = attr.regularizer
        weight.need_clip, weight.do_model_average = attr.need_clip, attr.do_model_average
        weight.trainable = attr.trainable


def _own_name(name: str) -> str:
    """``name``, which Paddle then gives to no other parameter: optimizers know them by their names."""
    if unique_name.dygraph_parameter_name_checker(name):
        raise ValueError(f"weight_attr: another parameter has the name {name!r}; give a new one")
    return name
