"""From residual blocks to sampled ones: all layers move in as they are, the masks are new."""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

from paddle import nn

from ..layers import SampledBasicBlock, SampledBottleneck, auxiliary_losses
from .blocks import KERNELS, ResidualBlock, kernels_of, read_block
from .plan import Plan, StandIn, match
from .sites import METHOD_LAYERS


def plan_sampling(plan: Plan, **kwargs: Any) -> None:
    """Plan a sampled block for every residual block that is known; ValueError if there is none."""
    sites = [site for site in plan.open(nn.Layer) if kernels_of(site.layer) or isinstance(site.layer, METHOD_LAYERS)]
    if not sites:
        known = sorted({f"{kind.__module__}.{kind.__name__}" for kind in KERNELS})
        raise ValueError(
            "convert: 'sampling' works on residual blocks, whose convolutions share masks, and "
            f"{type(plan.net).__name__} has none that is known here: {', '.join(known)}. Build yours from "
            "ppeffconv.layers.SampledBottleneck or SampledBasicBlock"
        )
    plan.chosen.check([site.name for site in sites])
    for site in sites:
        reason = plan.why_not(site)
        if reason is None:
            try:
                plan.replace(site, StandIn(to_sampled(read_block(site.layer), plan.memo, **kwargs), "exact"))
                continue
            except ValueError as error:
                reason = str(error)
        plan.keep(site, reason)
    plan.finish.append(_offer_losses)
    plan.notes.append(
        "MACs are those of the dense form, masks and interpolation included; what sampling saves depends on the "
        "density: after a forward, ppeffconv.layers.density_report(net) counts it"
    )
    plan.notes.append("train with the loss that lowers the density: ppeffconv.losses.AuxiliaryLoss, 'sparse'")


def to_sampled(block: ResidualBlock, memo: dict[int, Any], **kwargs: Any) -> nn.Layer:
    """The sampled form of a block, holding copies of the block's own layers."""
    kind, expansion = (SampledBottleneck, 4) if len(block.slots) == 3 else (SampledBasicBlock, 1)
    place = {"stride": block.stride, "dilation": block.dilation}
    if expansion == 1:
        place["first_dilation"] = block.first_dilation
    sampled = kind(block.in_channels, block.out_channels // expansion, **place, **kwargs)
    match(sampled, block.layer)
    sampled.downsample = copy.deepcopy(block.shortcut, memo)
    for i in range(1, len(block.slots) + 1):
        for name in (f"conv{i}", f"bn{i}"):
            setattr(sampled, name, copy.deepcopy(getattr(block.layer, name), memo))
    return sampled


def _offer_losses(new: nn.Layer) -> None:
    """Let `ppeffconv.losses.AuxiliaryLoss` find the losses of the blocks in a network of another origin."""
    if not hasattr(new, "auxiliary_losses"):
        new.auxiliary_losses = MethodType(auxiliary_losses, new)
