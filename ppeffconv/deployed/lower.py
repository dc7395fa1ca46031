"""From a network to its program: a lowering function for each layer class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from paddle import nn

from ..accelerate import is_accelerated
from ..layers import OctConv2D
from .builder import Builder, Map
from .fold import NOTHING, NotLowerable, Tail, is_norm, norm_tail
from .program import Program

Lowering = Callable[..., Any]
_LOWERINGS: dict[type[nn.Layer], Lowering] = {}
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


def lowers(*classes: type[nn.Layer]) -> Callable[[Lowering], Lowering]:
    """Decorator: ``function(builder, layer, x, tail) -> value`` lowers layers of these classes.

    ``x`` and the value are a `Map`, a pair of them or None for octave groups, or (value only) a list of maps. The
    function leaves nothing of ``tail`` undone.
    """

    def add(function: Lowering) -> Lowering:
        _LOWERINGS.update(dict.fromkeys(classes, function))
        return function

    return add


def find(layer: nn.Layer) -> Lowering:
    """The lowering function of a layer; a subclass that keeps the forward has that of its base.

    Raises:
        NotLowerable: there is none, or somebody put a forward or a hook of his own into the layer.
    """
    if layer._forward_pre_hooks or layer._forward_post_hooks:
        raise NotLowerable("it has hooks, which a program would not call")
    if "forward" in vars(layer) and not is_accelerated(layer):
        raise NotLowerable("its forward was replaced")
    for base in type(layer).__mro__:
        if base in _LOWERINGS and type(layer).forward is base.forward:
            return _LOWERINGS[base]
    raise NotLowerable("no deploy form of this class is known")


def lower_layer(builder: Builder, layer: nn.Layer, x: Any, tail: Tail = NOTHING) -> Any:
    """Lower one layer; NotLowerable names the innermost layer at fault."""
    outer, builder.label = builder.label, builder.name(layer) or builder.label
    try:
        return find(layer)(builder, layer, x, tail)
    except NotLowerable as error:
        if error.layer is not None:
            raise
        where = f"{builder.name(layer) or 'the network'} ({type(layer).__name__})"
        raise NotLowerable(str(error), layer, where) from error
    finally:
        builder.label = outer


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
        plain = not (layer._forward_pre_hooks or layer._forward_post_hooks or "forward" in vars(layer))
        if plain and isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
            flat += _flatten(list(layer))
        elif not (plain and _is_idle(layer)):
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
    if type(layer) not in _ACTIVATIONS or layer._forward_pre_hooks or layer._forward_post_hooks:
        raise NotLowerable(f"its activation {type(layer).__name__} is none of {', '.join(_ACTIVATIONS.values())}")
    return _ACTIVATIONS[type(layer)]


def _tail_of(layer: nn.Layer) -> Tail | None:
    if layer._forward_pre_hooks or layer._forward_post_hooks:
        return None
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


def input_channels(net: nn.Layer) -> int:
    """Width of the input of a network: that of its first layer that has one.

    Raises:
        NotLowerable: no layer has a width.
    """
    for layer in net.sublayers(include_self=True):
        if isinstance(layer, OctConv2D):
            return sum(layer.in_split)
        for name in ("in_channels", "channels", "_in_channels", "_num_features"):
            if isinstance(getattr(layer, name, None), int):
                return getattr(layer, name)
    raise NotLowerable("no layer of it tells how many channels the input has")


class Lowered(NamedTuple):
    """A program, and what it leaves out.

    Attributes:
        returns: how the network returns its outputs, see `Deployed`.
        notes: where the deploy form differs from the network.
    """

    program: Program
    returns: str
    notes: tuple[str, ...]


def lower(net: nn.Layer, dtype: str = "float32", seed: int = 0, path: str = "") -> Lowered:
    """The program of a network in eval mode.

    Args:
        path: of ``net`` in a larger network, for labels.

    Raises:
        NotLowerable: the network or a layer of it has no deploy form; the message names the layer.
    """
    names = {id(layer): f"{path}.{name}" if path else name for name, layer in net.named_sublayers()}
    builder = Builder(input_channels(net), names)
    y = lower_layer(builder, net, builder.input)
    if isinstance(y, tuple):
        returns = "high" if y[1] is None else "low" if y[0] is None else "pair"
    else:
        returns = "list" if isinstance(y, list) else "tensor"
    outputs = [y] if isinstance(y, Map) else [out for out in y if out is not None]
    return Lowered(builder.program(outputs, dtype, seed), returns, tuple(builder.notes))
