"""From dense 3x3 convolutions to SPConv2D: what of the weight fits, and norms that leave it at its scale."""

from __future__ import annotations

from dataclasses import replace

import paddle
from paddle import Tensor, nn

from ..layers import METHODS, SPConv2D
from ..layers.slot import Slot
from .dense import IMAGE_CHANNELS, TOO_FEW, put, weight_of
from .plan import StandIn, match
from .sites import Site


def to_spconv(site: Site, slot: Slot, **kwargs) -> StandIn:
    """SPConv2D with the parts of the dense weight that it has places for; ValueError with the reason if it cannot."""
    slot.require("sp", slot.in_channels > IMAGE_CHANNELS, f"{TOO_FEW}, got {slot.in_channels}")
    place = METHODS.get("sp").read(replace(slot, bias_attr=False))
    layer = match(SPConv2D(**place, **kwargs), site.layer)
    return StandIn(layer, "approximate", fill_spconv(layer, weight_of(site.layer), site.layer.bias))


def fill_spconv(layer: SPConv2D, weight: Tensor, bias: Tensor | None = None) -> float:
    """Give ``layer`` its best fit to a dense weight [C, c, 3, 3]; returns the share of the squared weights it holds.

    The grouped 3x3 takes the blocks on its diagonal whole. Of all other weights a 1x1 convolution can hold, per pair of
    channels, one number: the centre tap, or at stride 2 the sum of the four taps that the pooling in front averages.

    Both gates are 1/2 where the two parts have the same mean, so each norm doubles. The dense bias goes into both
    shifts: the gates add up to 1.
    """
    split, dilation = layer.representative, layer.gwc._dilation[0]
    grouped = _diagonal(weight[:, :split], layer.groups)
    taps = slice(1, 3) if layer.stride == 2 and dilation == 1 else slice(1, 2)
    pointwise = weight[:, :, taps, taps].sum([2, 3], keepdim=True)
    exchanged = pointwise[:, :split] * _off_diagonal(layer).astype(weight.dtype)
    redundant = pointwise[:, split:]
    put(layer.gwc.weight, grouped)
    put(layer.pwc.weight, exchanged)
    put(layer.conv1x1.weight, redundant)
    if layer.conv1x1.bias is not None:
        put(layer.conv1x1.bias, paddle.zeros_like(layer.conv1x1.bias))
    # what a 1x1 weight becomes when it is spread over the four pooled taps
    spread = 1 / layer.stride**2
    representative = _power(grouped) + spread * _power(exchanged)
    for norm, power in ((layer.bn1, representative), (layer.bn2, spread * _power(redundant))):
        _double(norm, power, bias)
    return float((representative + spread * _power(redundant)).sum() / _power(weight).sum().clip(min=1e-30))


def _diagonal(weight: Tensor, groups: int) -> Tensor:
    """The blocks [C, c / groups, k, k] that a grouped convolution keeps of [C, c, k, k]."""
    rows = [block.chunk(groups, axis=1)[i] for i, block in enumerate(weight.chunk(groups, axis=0))]
    return paddle.concat(rows, axis=0)


def _off_diagonal(layer: SPConv2D) -> Tensor:
    """1 where a pair of channels lies outside the groups of the 3x3 convolution, [C, c3, 1, 1]."""
    outputs, inputs = layer.pwc.weight.shape[:2]
    row, column = (paddle.arange(n) // (n // layer.groups) for n in (outputs, inputs))
    outside = row.unsqueeze(1) != column.unsqueeze(0)
    return outside.reshape([outputs, inputs, 1, 1])


def _power(weight: Tensor) -> Tensor:
    """Sum of squares per output channel."""
    return (weight * weight).sum([1, 2, 3])


def _double(norm: nn.BatchNorm2D, variance: Tensor, bias: Tensor | None) -> None:
    """Let ``norm`` multiply by 2 in evaluation, and keep the two parts in proportion in training.

    ``variance`` is that of the part for white inputs of unit variance; with its root as the scale, statistics of a
    batch change the size of both parts together.
    """
    put(norm._variance, variance)
    put(norm.weight, 2 * (variance + norm._epsilon).sqrt())
    if bias is not None:
        put(norm.bias, bias)
