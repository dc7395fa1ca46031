"""The methods of `ppeffconv.convert`, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..layers import METHODS
from ..registry import Registry
from .ddf import to_ddf
from .octconv import plan_octconv
from .sampling import plan_sampling
from .spconv import to_spconv
from .versatile import to_versatile


@dataclass(frozen=True)
class Rewrite:
    """How a method is planned, the names of its arguments, and what each kind of carried weights means."""

    plan: Callable[..., None]
    arguments: tuple[str, ...]
    meaning: dict[str, str]


def _each(build: Callable) -> Callable[..., None]:
    return lambda plan, **kwargs: plan.replace_convs(build, **kwargs)


def _own(method: str) -> list[str]:
    return METHODS.get(method).own_arguments()


REWRITES = Registry("conversion method")
for _name, _rewrite in {
    "octconv": Rewrite(
        plan_octconv,
        ("alpha", "pointwise", "pairs"),
        {
            "approximate": "the four kernels are the blocks of the dense one, as seen from the grid of half the size "
            "where they work there; lost is the detail of low channels, and of all where pooling replaces a stride",
            "exact": "without low channels it is the dense convolution",
        },
    ),
    "spconv": Rewrite(
        _each(to_spconv),
        (*_own("sp"), "groups"),
        {
            "approximate": "the grouped 3x3 kernels and the centre taps of all others are carried (the figure: their "
            "share of the squared weights); the gates are new"
        },
    ),
    "versatile": Rewrite(
        _each(to_versatile),
        tuple(_own("versatile")),
        {
            "approximate": "the stored filters are the least squares fit to the dense ones (the figure: what it keeps "
            "of the squared weights)",
            "exact": "the dense filters already are nested",
            "new": "with groups a stored filter reads other channels than the dense ones",
        },
    ),
    "ddf": Rewrite(
        _each(to_ddf),
        (*_own("ddf"), "separable"),
        {"new": "the filters are predicted from the input, which has no dense counterpart: the layers must be trained"},
    ),
    "sampling": Rewrite(
        plan_sampling,
        tuple(_own("sampled")),
        {"exact": "at density 1 the network computes what it did; the masks are new and keep 95 % at the start"},
    ),
}.items():
    REWRITES.register(_name)(_rewrite)
