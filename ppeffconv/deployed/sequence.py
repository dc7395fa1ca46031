"""Lowering of layers that follow each other: norms and activations go into the layer before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle import nn

from .builder import Builder, Map
from .fold import NOTHING, NotLowerable, Tail, is_norm, norm_tail
from .lower import lower_layer, lowers

_ACTIVATIONS: dict[type[nn.Layer], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Sigmoid: "sigmoid",
    nn.Swish: "swish",
    nn.Silu: "swish",
}
_SKIPPED = (nn.Identity, nn.Dropout, nn.Dropout2D)


def lower_sequence(builder: Builder, layers: Sequence[nn.Layer], x: Any, tail: Tail = NOTHING) -> Any:
    """Layers one after the other; a batch norm and an activation go into the layer before them."""
    groups = _group(_flatten(layers))
    for i, (layer, own) in enumerate(groups):
        rest = NOTHING
        if i == len(groups) - 1:
            own, rest = (own.before(tail), NOTHING) if own.is_linear else (own, tail)
        x = _finish(builder, x, own) if layer is None else lower_layer(builder, layer, x, own)
        x = _finish(builder, x, rest)
    return x if groups else _finish(builder, x, tail)


def _finish(builder: Builder, x: Any, tail: Tail) -> Any:
    """A tail that no layer takes, which needs one map."""
    if tail.is_empty:
        return x
    if not isinstance(x, Map):
        raise NotLowerable("a norm or an activation follows a pair of octave groups")
    return builder.finish(x, tail)


def _flatten(layers: Sequence[nn.Layer]) -> list[nn.Layer]:
    """The layers, those of plain nn.Sequentials in their place, without those that do nothing."""
    flat: list[nn.Layer] = []
    for layer in layers:
        if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
            flat += _flatten(list(layer))
        elif not _is_idle(layer):
            flat.append(layer)
    return flat


def _is_idle(layer: nn.Layer) -> bool:
    """Whether the layer does nothing in eval mode."""
    return type(layer) in _SKIPPED and getattr(layer, "mode", None) != "downscale_in_infer"


def _group(layers: list[nn.Layer]) -> list[tuple[nn.Layer | None, Tail]]:
    """Each layer with the norms and the activation that follow it; None where they follow nothing."""
    groups: list[tuple[nn.Layer | None, Tail]] = []
    for layer in layers:
        own = _tail_of(layer)
        if own is None:
            groups.append((layer, NOTHING))
        elif groups and groups[-1][1].is_linear:
            before, tail = groups.pop()
            groups.append((before, tail.before(own)))
        else:
            groups.append((None, own))
    return groups


def activation_of(layer: nn.Layer) -> str:
    """Name of an activation layer in a program."""
    if type(layer) not in _ACTIVATIONS:
        raise NotLowerable(f"its activation {type(layer).__name__} is none of {', '.join(_ACTIVATIONS.values())}")
    return _ACTIVATIONS[type(layer)]


def _tail_of(layer: nn.Layer) -> Tail | None:
    if type(layer) in _ACTIVATIONS:
        return Tail(act=_ACTIVATIONS[type(layer)])
    return norm_tail(layer) if is_norm(layer) else None


@lowers(nn.Sequential)
def _sequential(builder: Builder, layer: nn.Sequential, x: Any, tail: Tail) -> Any:
    return lower_sequence(builder, list(layer), x, tail)


@lowers(*_ACTIVATIONS, *_SKIPPED, nn.BatchNorm2D, nn.SyncBatchNorm)
def _alone(builder: Builder, layer: nn.Layer, x: Any, tail: Tail) -> Any:
    if type(layer) in _SKIPPED and not _is_idle(layer):
        raise NotLowerable("a dropout with mode='downscale_in_infer' scales in eval mode")
    return lower_sequence(builder, [layer], x, tail)
