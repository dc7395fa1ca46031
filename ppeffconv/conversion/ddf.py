"""From dense convolutions to DDF, which predicts its filters: nothing of a dense weight can be carried."""

from __future__ import annotations

from typing import Any

from paddle import nn

from ..layers import Conv2D, build_conv
from ..layers.slot import Slot
from .dense import IMAGE_CHANNELS, TOO_FEW, put
from .plan import StandIn, match
from .sites import Site


def to_ddf(site: Site, slot: Slot, separable: bool | None = None, **kwargs: Any) -> StandIn:
    """DDF2D, or DDFSeparable2D, where the convolution stood; ValueError with the reason if neither can stand there.

    Args:
        separable: append a 1x1 convolution. DDF alone is depthwise: it mixes no channels, cannot change the width and
            has no bias. None appends one exactly where that is needed: the width changes, there is a bias, or no 1x1
            convolution stands beside, as in a bottleneck, to do the mixing.
    """
    slot.require("ddf", slot.in_channels > IMAGE_CHANNELS, f"{TOO_FEW}, got {slot.in_channels}")
    biased = slot.bias_attr is not False
    if separable is None:
        mixed = any(isinstance(layer, nn.Conv2D) and layer._kernel_size == [1, 1] for layer in site.beside())
        separable = biased or not mixed or slot.in_channels != slot.out_channels
    if not separable:
        return StandIn(match(build_conv("ddf", **slot.arguments(), **kwargs), site.layer), "new")
    layer = build_conv("ddf_separable", **{**slot.arguments(), "bias_attr": False}, **kwargs)
    if biased:
        layer[1] = Conv2D(slot.in_channels, slot.out_channels, 1, bias_attr=None)
    match(layer, site.layer)
    if biased:
        put(layer[1].bias, site.layer.bias)
    return StandIn(layer, "new")
