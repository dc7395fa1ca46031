"""Multiply-adds before and after a conversion, which also shows that the new network runs."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import nn

from ..models import Profile, profile
from ..utils.messages import brief
from ..utils.numbers import is_shape
from .plan import Plan

# what a forward raises on an input that it does not take
UNFIT = (ValueError, RuntimeError, TypeError, LookupError, AttributeError, AssertionError, NotImplementedError, OSError)


def count(
    plan: Plan, new: nn.Layer, input_shape: Sequence[int] | None
) -> tuple[tuple[Profile, Profile] | None, tuple[int, ...]]:
    """Profiles before and after (None if the network does not take the default input), and their input's shape.

    Raises:
        ValueError: the network does not take ``input_shape``, or no longer runs with its new layers.
    """
    if input_shape is not None and not is_shape(input_shape, 3, 4):
        raise ValueError(f"convert: input_shape must be (C, H, W), each an integer >= 1, got {input_shape!r}")
    convs = (site.layer for site in plan.sites if isinstance(site.layer, nn.Conv2D))
    shape = (getattr(next(convs, None), "_in_channels", 3), 224, 224) if input_shape is None else tuple(input_shape)
    try:
        before = profile(plan.net, shape)
    except UNFIT as error:
        if input_shape is not None:
            raise ValueError(f"convert: the network does not take input_shape={shape}: {brief(error)}") from error
        plan.notes.append(f"MACs were not counted: the network does not take {shape}; give input_shape=(C, H, W)")
        return None, shape
    try:
        return (before, profile(new, shape)), shape
    except UNFIT as error:
        raise ValueError(
            "convert: the network does not run with its new layers: probably its forward looks inside one of them, "
            f"which exclude= leaves out. {type(error).__name__}: {brief(error)}"
        ) from error


def macs_of(counted: Profile, name: str) -> int:
    """Multiply-adds of a layer and what is inside it."""
    return sum(row.macs for row in counted.layers if not name or row.name == name or row.name.startswith(f"{name}."))
