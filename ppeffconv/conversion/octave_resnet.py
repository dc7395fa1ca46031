"""Octave ResNets from dense ones: pairs flow from the first block to the last, with the dense weights inside."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.vision.models import ResNet as VisionResNet

from ..layers import OctaveMerge, OctConvBNAct
from ..layers.norm import is_batch_norm
from ..layers.untouched import has_hooks
from ..models.octave_resnet import OctaveBlock, OctaveResNet
from ..models.resnet import ResNet
from .blocks import ResidualBlock, read_block
from .dense import inherit, put, slot_of, weight_of
from .octave_weights import channel_order, fill_octconv
from .plan import Plan, match
from .sites import Site

Rows = list[tuple[Site, str]]


def is_resnet(layer: nn.Layer) -> bool:
    """Whether its forward hands each stage's output to the next stage untouched, so that pairs can pass."""
    return type(layer) is ResNet or type(layer).forward is VisionResNet.forward


def plan_pairs(plan: Plan, site: Site, alpha: float) -> None:
    """Plan octave blocks for all stages of a ResNet; ValueError with the reason, and no change, if one does not fit."""
    host, prefix = site.layer, f"{site.name}." if site.name else ""
    stages = [getattr(host, f"layer{i}") for i in range(1, getattr(host, "stages", 4) + 1)]
    blocks: dict[int, OctaveBlock] = {}
    rows: Rows = []
    for i, stage in enumerate(stages, start=1):
        if type(stage) is not nn.Sequential or has_hooks(stage):
            raise ValueError(f"layer{i} has hooks or is no nn.Sequential")
        last = i == len(stages)
        for position, layer in enumerate(stage):
            alpha_in = 0.0 if (i == 1 and position == 0) or (last and position > 0) else alpha
            try:
                block, became = _octave_block(plan, layer, alpha_in, 0.0 if last else alpha)
            except ValueError as error:
                raise ValueError(f"{prefix}layer{i}.{position}: {error}") from None
            blocks[id(layer)] = block
            rows += became
    plan.memo.update(blocks)
    for conv, became in rows:
        plan.carried(conv, became, "approximate")
    if type(host) is ResNet:
        plan.finish.append(lambda new: _become_octave(plan.memo[id(host)], alpha))
    else:
        merged = nn.Sequential(*(blocks[id(layer)] for layer in stages[-1]), OctaveMerge())
        merged.training = stages[-1].training
        plan.memo[id(stages[-1])] = merged


def _become_octave(net: ResNet, alpha: float) -> None:
    """An OctaveResNet is a ResNet with octave blocks, and nothing else, that merges the pairs it hands out."""
    net.__class__, net._alpha = OctaveResNet, alpha


def _octave_block(plan: Plan, layer: nn.Layer, alpha_in: float, alpha_out: float) -> tuple[OctaveBlock, Rows]:
    dense = read_block(layer)
    depth = len(dense.slots)
    alphas = [(alpha_in, alpha_out)] + [(alpha_out, alpha_out)] * (depth - 1)
    convs = [
        (slot.in_channels, slot.out_channels, slot.kernel_size[0], slot.stride[0], *alpha)
        for slot, alpha in zip(dense.slots, alphas)
    ]
    place = dense.in_channels, dense.out_channels, dense.stride, alpha_in, alpha_out
    projected = dense.shortcut is not None or alpha_in != alpha_out
    block = OctaveBlock(convs, place if projected else None, dense.dilation, dense.first_dilation)
    order = _regroup(block, dense, alpha_out)
    match(block, layer)
    rows = []
    for i in range(1, depth + 1):
        conv, norm, octave = getattr(layer, f"conv{i}"), getattr(layer, f"bn{i}"), getattr(block, f"conv{i}")
        weight = weight_of(conv)
        if order is not None:
            weight = weight.index_select(order, 0) if i < depth else weight.index_select(order, 1)
        _fill(octave, weight, norm, order if i < depth else None)
        _inherit(octave, conv, norm)
        rows.append((_site(plan, conv), _became(octave)))
    if dense.shortcut is not None:
        conv, norm = _read_shortcut(dense)
        _fill(block.downsample[0], weight_of(conv), norm)
        _inherit(block.downsample[0], conv, norm)
        rows.append((_site(plan, conv), _became(block.downsample[0])))
    elif projected:
        _fill_identity(block.downsample[0], dense.in_channels)
    return block, rows


def _regroup(block: OctaveBlock, dense: ResidualBlock, alpha: float) -> Tensor | None:
    """Give a block of ResNeXt its grouped or depthwise conv2; returns the order of its channels, None if as it is."""
    groups = [slot.groups for slot in dense.slots]
    if max(groups) == 1:
        return None
    slot = dense.slots[1]
    if len(groups) != 3 or groups[0] != 1 or groups[2] != 1 or slot.in_channels != slot.out_channels:
        raise ValueError(f"groups={groups} of its convolutions; only conv2 of a bottleneck may be grouped")
    size = {"stride": dense.stride, "padding": dense.dilation, "dilation": dense.dilation}
    block.conv2 = OctConvBNAct(
        slot.in_channels, slot.out_channels, 3, alpha_in=alpha, alpha_out=alpha, groups=slot.groups, **size
    )
    if slot.groups == slot.out_channels:
        return None
    return channel_order(slot.out_channels, slot.groups, block.conv2.conv.out_split[0])


def _read_shortcut(dense: ResidualBlock) -> tuple[nn.Conv2D, nn.Layer]:
    layers = list(dense.shortcut.children())
    if type(dense.shortcut) is nn.Sequential and len(layers) == 2 and isinstance(layers[0], nn.Conv2D):
        slot, place = slot_of(layers[0]), (dense.in_channels, dense.out_channels, (1, 1), (dense.stride,) * 2, (0, 0))
        found = (slot.in_channels, slot.out_channels, slot.kernel_size, slot.stride, slot.padding)
        if found == place and slot.groups == 1 and slot.bias_attr is False:
            return layers
    raise ValueError("its shortcut is no 1x1 convolution with BatchNorm")


def _site(plan: Plan, conv: nn.Conv2D) -> Site:
    site = plan.site_of(conv)
    reason = plan.why_not(site)
    if reason is not None:
        raise ValueError(f"{site.name} {reason}")
    return site


def _became(octave: OctConvBNAct) -> str:
    (high_in, low_in), (high_out, low_out) = octave.conv.in_split, octave.conv.out_split
    return f"OctConv2D {high_in} + {low_in} -> {high_out} + {low_out}"


def _fill(octave: OctConvBNAct, weight: Tensor, norm: nn.Layer, order: Tensor | None = None) -> None:
    """Copy the dense weight block by block, and the norm's channels in the same order to the norms of the groups."""
    fill_octconv(octave.conv, weight)
    if not (isinstance(norm, nn.BatchNorm2D) and is_batch_norm(norm)) or norm.weight is None or norm.bias is None:
        raise ValueError(f"its norm is a {type(norm).__name__}, expected a BatchNorm2D with scale and shift")
    start = 0
    for part in (octave.bn_h, octave.bn_l):
        if part is None:
            continue
        stop = start + part.weight.shape[0]
        for name in ("weight", "bias", "_mean", "_variance"):
            value = getattr(norm, name)
            value = value if order is None else value.index_select(order)
            put(getattr(part, name), value[start:stop])
        part._epsilon, part._momentum, part._use_global_stats = norm._epsilon, norm._momentum, norm._use_global_stats
        part.training, start = norm.training, stop


def _inherit(octave: OctConvBNAct, conv: nn.Conv2D, norm: nn.Layer) -> None:
    inherit(octave.conv, conv)
    for part in (octave.bn_h, octave.bn_l):
        if part is not None:
            inherit(part, norm)


def _fill_identity(octave: OctConvBNAct, channels: int) -> None:
    """The shortcut was the identity, and now changes the groups: an identity matrix, and norms that leave it so."""
    fill_octconv(octave.conv, paddle.eye(channels).reshape([channels, channels, 1, 1]))
    for norm in (octave.bn_h, octave.bn_l):
        if norm is not None:
            put(norm.weight, paddle.full_like(norm.weight, (1 + norm._epsilon) ** 0.5))
