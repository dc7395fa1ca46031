"""The ops of versatile filters, SPConv and decoupled dynamic filters in plain Paddle, as their papers write them."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..ops import conv2d, filter_norm, octave_pool
from ..ops.primitives import global_mean
from ..ops.reference_nested import nested_filters
from .reference_basic import Frame, pick_channels, repeat_channels
from .steps import Step


def nested(step: Step, frame: Frame) -> Tensor:
    """Every centre crop of the filters over every window of channels; the surplus is cut off."""
    x, weight = frame.map(step), frame.weight(step, "weight")
    scale, shift = frame.weight(step, "scale"), frame.weight(step, "shift")
    outputs = []
    for crop in range(nested_filters(weight.shape[2:])):
        for start in range(0, step["delta"] + 1, step["g"]):
            outputs.append(_centred_conv(*_window(x, weight, start, step), crop, step))
    return frame.finish(paddle.concat(outputs, axis=1)[:, : scale.shape[0]], step, scale, shift)


def _window(x: Tensor, weight: Tensor, start: int, step: Step) -> tuple[Tensor, Tensor]:
    """Input and filters without ``delta`` channels; the authors' code leaves the filters where they are."""
    if step["delta"] == 0:
        return x, weight
    kept = x.shape[1] - step["delta"]
    first = start if step["mode"] == "paper" else 0
    return x[:, start : start + kept], weight[:, first : first + kept]


def _centred_conv(x: Tensor, weight: Tensor, crop: int, step: Step) -> Tensor:
    """The convolution without the ``crop`` outer rings of the filters, at the windows of the whole ones."""
    kh, kw = weight.shape[2:]
    margins = [pad - crop * apart for pad, apart in zip(step["padding"], step["dilation"])]
    top, left = (max(-margin, 0) for margin in margins)
    inner = x[:, :, top : -top or None, left : -left or None]
    kernel, padding = weight[:, :, crop : kh - crop, crop : kw - crop], [max(margin, 0) for margin in margins]
    return conv2d(inner, kernel, None, step["stride"], padding, step["dilation"], step["groups"])


def sp(step: Step, frame: Frame) -> Tensor:
    """Both branches, and their mean by a gate that reads their global means."""
    x, pointwise = frame.map(step), frame.weight(step, "pointwise")
    x3, x1 = x[:, : pointwise.shape[1]], x[:, pointwise.shape[1] :]
    geometry = (step["stride"], step["dilation"], step["dilation"], step["groups"])
    v3 = conv2d(x3, frame.weight(step, "grouped"), frame.weight(step, "shift3"), *geometry)
    if step["stride"] != (1, 1):
        x3, x1 = octave_pool(x3), octave_pool(x1)
    v3 = v3 + conv2d(x3, pointwise)
    v1 = conv2d(x1, frame.weight(step, "redundant"), frame.weight(step, "shift1"))
    gate = frame.weight(step, "gate").reshape([1, -1, 1, 1])
    share = F.sigmoid((global_mean(v3) - global_mean(v1)) * gate)
    return frame.finish(v1 + (v3 - v1) * share, step)


def filters(step: Step, frame: Frame) -> Tensor:
    """Channel filters, standardised over their taps and scaled."""
    x, taps = frame.map(step), step["taps"]
    std = frame.weight(step, "std").reshape([-1, taps])
    return filter_norm(x.reshape([-1, *std.shape]), 2, std).reshape([-1, x.shape[1], 1, 1])


def ddf(step: Step, frame: Frame) -> Tensor:
    """Dynamic filtering; with ``up`` branch ``up * sy + sx`` fills the sub-pixels (sy, sx)."""
    x, up = frame.map(step), step["up"]
    channel, spatial = (_split(frame.map(step, key), up * up) for key in ("channel", "spatial"))
    filtered = [_dynamic_filter(x, c, f, step) for c, f in zip(channel, spatial)]
    if up == 1:
        y = filtered[0]
    else:
        count = x.shape[1]
        order = [branch * count + c for c in range(count) for branch in range(up * up)]
        y = F.pixel_shuffle(pick_channels(paddle.concat(filtered, axis=1), order), up)
    return frame.finish(y, step, frame.weight(step, "scale"), frame.weight(step, "shift"))


def _dynamic_filter(x: Tensor, channel: Tensor, spatial: Tensor, step: Step) -> Tensor:
    """A sum over the taps of shifted maps, times the product or the sum of the two filters."""
    kernel, stride, dilation, heads = step["kernel"], step["stride"], step["dilation"], step["heads"]
    taps, count, pad = kernel * kernel, x.shape[1], dilation * (kernel // 2)
    per_pixel = [_split(filter_norm(logits, 1, step["gain"]), taps) for logits in _split(spatial, heads)]
    per_channel = channel.reshape([-1, count, taps])
    padded = F.pad(x, [pad] * 4)  # eight numbers, as `pad2d` gives, crash Paddle Inference when its oneDNN is on
    y = None
    for tap in range(taps):
        top, left = (dilation * side for side in divmod(tap, kernel))
        shifted = padded[:, :, top : top - 2 * pad or None : stride, left : left - 2 * pad or None : stride]
        f = repeat_channels(_join([head[tap] for head in per_pixel]), count // heads)
        c = per_channel[:, :, tap].unsqueeze(-1).unsqueeze(-1)
        term = shifted * f * c if step["mode"] == "mul" else shifted * (f + c)
        y = term if y is None else y + term
    return y


def _split(x: Tensor, parts: int) -> list[Tensor]:
    return [x] if parts == 1 else paddle.split(x, parts, axis=1)


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else paddle.concat(parts, axis=1)
