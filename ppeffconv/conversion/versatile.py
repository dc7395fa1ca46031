"""From dense convolutions to VersatileConv2D: the stored filters that fit the dense ones best."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor

from ..layers import VersatileConv2D, build_conv
from ..layers.slot import Slot
from ..layers.versatile import check_channel_window
from .dense import IMAGE_CHANNELS, put, weight_of
from .plan import StandIn, match
from .sites import Site

CHANNEL_ARGUMENTS = ("delta", "g", "channel_mode")


def to_versatile(site: Site, slot: Slot, **kwargs: Any) -> StandIn:
    """VersatileConv2D with fitted filters; ValueError with the reason if it cannot stand there or saves nothing."""
    check_channel_window(**kwargs)
    if slot.in_channels <= IMAGE_CHANNELS:  # as in the papers' networks: too few channels to leave one out
        kwargs = {key: value for key, value in kwargs.items() if key not in CHANNEL_ARGUMENTS}
    layer = match(build_conv("versatile", **slot.arguments(), **kwargs), site.layer)
    shared = layer.spatial_filters * layer.channel_filters
    slot.require(
        "versatile",
        shared > 1 and layer.weight.shape[0] < slot.out_channels,
        f"has nothing to share: {slot.out_channels} filters of {slot.kernel_size[0]}x{slot.kernel_size[1]}"
        + (" (delta=1 shares channels)" if not kwargs.get("delta") and slot.groups == 1 else ""),
    )
    if site.layer.bias is not None:
        put(layer.bias, site.layer.bias)
    if slot.groups > 1:
        return StandIn(layer, "new")  # a stored filter reads the channels of its own group, not those of the dense one
    share = fit_versatile(layer, weight_of(site.layer))
    return StandIn(layer, "exact" if share > 1 - 1e-6 else "approximate", share)


def fit_versatile(layer: VersatileConv2D, weight: Tensor) -> float:
    """Set the stored filters to the least squares fit of a dense weight [C, c, kh, kw].

    Every tap of a stored filter is the mean of the dense taps that read it. Returns the share of the squared weights
    that the fit keeps.
    """
    crops, windows, filters = layer.spatial_filters, layer.channel_filters, layer.weight.shape[0]
    reads = paddle.zeros([crops, windows, *weight.shape[1:]], weight.dtype)
    kh, kw = layer.kernel_size
    kept = layer.in_channels - layer.delta
    for i in range(crops):
        for j in range(windows):
            first = j * layer.g if layer.channel_mode == "paper" else 0
            reads[i, j, first : first + kept, i : kh - i, i : kw - i] = 1
    surplus = crops * windows * filters - layer.out_channels
    dense = paddle.concat([weight, paddle.zeros([surplus, *weight.shape[1:]], weight.dtype)])
    present = paddle.concat([paddle.ones([layer.out_channels]), paddle.zeros([surplus])]).astype(weight.dtype)
    dense = dense.reshape([crops, windows, filters, *weight.shape[1:]])
    present = present.reshape([crops, windows, filters, 1, 1, 1])
    if layer.channel_mode == "reference":  # the filter's first channels, on the shifted input
        dense = paddle.stack([paddle.roll(dense[:, j], -j * layer.g, axis=2) for j in range(windows)], axis=1)
    readers = (reads.unsqueeze(2) * present).sum([0, 1])
    fitted = (reads.unsqueeze(2) * dense).sum([0, 1]) / readers.clip(min=1)
    put(layer.weight, fitted)
    return float((readers * fitted * fitted).sum() / (weight * weight).sum().clip(min=1e-30))
