"""From a network to its program: a lowering function for each layer class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from paddle import nn

from ..accelerate import is_accelerated
from ..layers import OctConv2D
from ..layers.untouched import has_hooks, has_new_forward
from ..ops.deployed import MOST_OUTPUTS
from .builder import Builder
from .fold import NOTHING, NotLowerable, Tail
from .outputs import split
from .program import Program

Lowering = Callable[..., Any]
_LOWERINGS: dict[type[nn.Layer], Lowering] = {}


def lowers(*classes: type[nn.Layer]) -> Callable[[Lowering], Lowering]:
    """Decorator: ``function(builder, layer, x, tail) -> value`` lowers layers of these classes.

    ``x`` and the value are a `Map`, a pair of them or None for octave groups, or a list of maps; the value may be
    one of `outputs` as well. The function leaves nothing of ``tail`` undone.
    """

    def add(function: Lowering) -> Lowering:
        _LOWERINGS.update(dict.fromkeys(classes, function))
        return function

    return add


def find(layer: nn.Layer) -> Lowering:
    """The lowering function of a layer; a subclass that keeps the forward has that of its base.

    Raises:
        NotLowerable: there is none.
    """
    for base in type(layer).__mro__:
        if base in _LOWERINGS and type(layer).forward is base.forward:
            return _LOWERINGS[base]
    raise NotLowerable("no deploy form of this class is known")


def lower_layer(builder: Builder, layer: nn.Layer, x: Any, tail: Tail = NOTHING) -> Any:
    """Lower one layer; NotLowerable names the innermost layer at fault."""
    try:
        with builder.at(layer):
            return find(layer)(builder, layer, x, tail)
    except NotLowerable as error:
        if error.layer is not None:
            raise
        where = f"{builder.name(layer) or 'the network'} ({type(layer).__name__})"
        raise NotLowerable(str(error), layer, where) from error


def _check_untouched(net: nn.Layer, names: dict[int, str]) -> None:
    """NotLowerable if somebody put a hook or a forward of his own into a layer: a program would not call it."""
    for layer in net.sublayers(include_self=True):
        where = f"{names.get(id(layer), 'the network')} ({type(layer).__name__})"
        if has_hooks(layer):
            raise NotLowerable("it has hooks, which a program would not call", layer, where)
        if has_new_forward(layer) and not is_accelerated(layer):
            raise NotLowerable("its forward was replaced", layer, where)


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
    _check_untouched(net, names)
    find(net)  # what is not known at all is the better reason
    builder = Builder(input_channels(net), names)
    y = lower_layer(builder, net, builder.input)
    outputs, returns = split(y)
    if len(outputs) > MOST_OUTPUTS:
        raise NotLowerable(f"it returns {len(outputs)} maps, and a program at most {MOST_OUTPUTS}", net)
    return Lowered(builder.program(outputs, dtype, seed), returns, tuple(builder.notes))
