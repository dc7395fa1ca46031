"""From dense convolutions to OctConv: pairs through the ResNets, drop-ins everywhere else."""

from __future__ import annotations

from dataclasses import replace

from paddle import nn

from ..layers import TensorOctConv2D
from ..layers.slot import Slot
from .dense import IMAGE_CHANNELS, TOO_FEW, weight_of
from .octave_resnet import is_resnet, plan_pairs
from .octave_weights import fill_octconv
from .plan import Plan, StandIn, match
from .sites import Site


def plan_octconv(plan: Plan, alpha: float = 0.5, pointwise: bool = False, pairs: bool = True) -> None:
    """Plan octave blocks in every ResNet (unless ``pairs`` is False), and drop-ins for all other convolutions."""
    if not isinstance(alpha, (int, float)) or not 0 <= alpha < 1:
        raise ValueError(f"convert: 'octconv' needs alpha in [0, 1), got {alpha!r}")
    for site in filter(lambda site: pairs and is_resnet(site.layer), plan.open(nn.Layer)):
        try:
            plan_pairs(plan, site, alpha)
        except ValueError as error:
            plan.notes.append(f"no pairs flow through {site.name or type(site.layer).__name__}: {error}")
    plan.replace_convs(to_octconv, alpha=alpha, pointwise=pointwise)
    alone = sum(isinstance(getattr(new, "layer", new), TensorOctConv2D) for new in plan.memo.values())
    if alone:
        plan.notes.append(
            f"TensorOctConv2D ({alone}) pools, upsamples and merges for itself: fewer MACs, but more passes over "
            "memory; only in a ResNet do pairs flow from layer to layer"
        )


def to_octconv(site: Site, slot: Slot, alpha: float = 0.5, pointwise: bool = False) -> StandIn:
    """TensorOctConv2D with the dense weights; ValueError with the reason if it cannot stand there."""
    slot.require("oct", slot.in_channels > IMAGE_CHANNELS, f"{TOO_FEW}, got {slot.in_channels}")
    slot.require("oct", pointwise or slot.kernel_size != (1, 1), "leaves 1x1 convolutions: pointwise=True takes them")
    place = replace(slot, bias_attr=False).square("oct")
    widths = slot.in_channels, slot.out_channels
    layer = TensorOctConv2D(
        *widths, slot.kernel_size[0], alpha, padding=slot.padding[0], bias_attr=slot.bias_attr, **place
    )
    match(layer, site.layer)
    low = any(split[1] for split in (layer.conv.in_split, layer.conv.out_split))
    slot.require("oct", low or alpha == 0, f"has no low channel at alpha={alpha} of {widths[0]} -> {widths[1]}")
    fill_octconv(layer.conv, weight_of(site.layer), site.layer.bias)
    return StandIn(layer, "approximate" if low or slot.stride[0] > 1 else "exact")
