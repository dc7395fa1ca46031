"""The interpreter in plain Paddle: every op as the paper writes it, on [N, C, H, W] maps, traceable with any size.

While a graph is traced heights and widths are not known, so no function here asks for them: crops count from the far
side, and an upsampling is a pixel shuffle of repeated channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..ops import conv2d, filter_norm, octave_pool
from ..ops.primitives import global_mean, pad2d
from ..ops.reference_nested import nested_filters
from .program import INPUT, Program
from .steps import Step

Maps = dict[str, Tensor]
Weights = Sequence[Tensor]
EPS = 1e-5  # of the interpolation's normaliser
WORD = 0xFFFFFFFF


def run(program: Program, x: Tensor, weights: Weights) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of a program, and the density of each of its masks.

    Args:
        x: [N, channels, H, W] in float32.
        weights: as ``program.weights``.
    """
    maps = {INPUT: x}
    for step, unused in zip(program.steps, program.last_uses):
        y = _OPS[step.op](step, maps, weights, program.seed)
        if program.dtype == "bfloat16" and step.out not in program.outputs:
            y = y.astype("bfloat16").astype("float32")
        maps[step.out] = y
        for name in unused:
            maps[name] = None
    outputs = [maps[name].flatten(1) if program.flat else maps[name] for name in program.outputs]
    return outputs, [maps[f"density {step.out}"] for step in program.masks]


def activate(x: Tensor, act: str) -> Tensor:
    """An activation by its name in a program."""
    return x if act == "none" else _ACTIVATIONS[act](x)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": F.sigmoid,
    "swish": F.swish,
}


def _finish(y: Tensor, step: Step, maps: Maps) -> Tensor:
    """``act(y + add)``."""
    if step["add"] is not None:
        y = y + maps[step["add"]]
    return activate(y, step["act"])


def _affine(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    if scale is not None:
        x = x * scale.reshape([1, -1, 1, 1])
    return x if shift is None else x + shift.reshape([1, -1, 1, 1])


def _weight(step: Step, key: str, weights: Weights) -> Tensor | None:
    return None if step[key] is None else weights[step[key]]


def _joined(step: Step, maps: Maps) -> Tensor:
    names = step["in"]
    return maps[names[0]] if len(names) == 1 else paddle.concat([maps[name] for name in names], axis=1)


def _conv(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    geometry = (step["stride"], step["padding"], step["dilation"], step["groups"])
    y = conv2d(_joined(step, maps), weights[step["weight"]], _weight(step, "bias", weights), *geometry)
    if step["up"] is not None:
        y = y + _upsample2(maps[step["up"]], y)
    y = _finish(y, step, maps)
    return y if step["mask"] is None else y * maps[step["mask"]]


def _pool(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    geometry = {"kernel_size": step["kernel"], "stride": step["stride"], "padding": step["padding"]}
    if step["kind"] == "max":
        return F.max_pool2d(maps[step["in"]], **geometry, ceil_mode=bool(step["ceil"]))
    return F.avg_pool2d(maps[step["in"]], **geometry, ceil_mode=bool(step["ceil"]), exclusive=True)


def _adaptive(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return F.adaptive_avg_pool2d(maps[step["in"]], step["size"])


def _mean(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return global_mean(maps[step["in"]])


def _upsample(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return _upsample2(maps[step["in"]], None if step["like"] is None else maps[step["like"]])


def _upsample2(low: Tensor, like: Tensor | None) -> Tensor:
    """Repeat each pixel 2 x 2, and crop to the size of ``like``."""
    full = F.pixel_shuffle(_repeat_channels(low, 4), 2)
    if like is None:
        return full
    height, width = paddle.shape(like)[2], paddle.shape(like)[3]
    return full[:, :, :height, :width]


def _repeat_channels(x: Tensor, times: int) -> Tensor:
    """Each channel ``times`` times in a row."""
    return paddle.index_select(x, paddle.to_tensor([c for c in range(x.shape[1]) for _ in range(times)]), axis=1)


def _resize(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return F.interpolate(maps[step["in"]], scale_factor=step["scale"], mode="bilinear", align_corners=False)


def _concat(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return _joined(step, maps)


def _slice(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return maps[step["in"]][:, step["first"] : step["first"] + step["count"]]


def _add(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    a, b = (maps[name] for name in step["in"])
    return activate(a + b, step["act"])


def _mul(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    a, b = (maps[name] for name in step["in"])
    return activate(a * b, step["act"])


def _affine_step(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return _finish(_affine(maps[step["in"]], weights[step["scale"]], weights[step["shift"]]), step, maps)


def _act(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    return activate(maps[step["in"]], step["act"])


def _nested(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    """Every centre crop of the filters over every window of channels; the surplus is cut off."""
    x, weight = maps[step["in"]], weights[step["weight"]]
    kept = x.shape[1] - step["delta"]
    outputs = []
    for crop in range(nested_filters(weight.shape[2:])):
        for start in range(0, step["delta"] + 1, step["g"]):
            first = start if step["mode"] == "paper" else 0
            kernel = _centre(weight, crop)[:, first : first + kept] if step["delta"] else _centre(weight, crop)
            window = x[:, start : start + kept] if step["delta"] else x
            outputs.append(_centred_conv(window, kernel, crop, step))
    scale, shift = weights[step["scale"]], weights[step["shift"]]
    y = paddle.concat(outputs, axis=1)[:, : scale.shape[0]]
    return _finish(_affine(y, scale, shift), step, maps)


def _centre(weight: Tensor, crop: int) -> Tensor:
    kh, kw = weight.shape[2:]
    return weight[:, :, crop : kh - crop, crop : kw - crop]


def _centred_conv(x: Tensor, kernel: Tensor, crop: int, step: Step) -> Tensor:
    """The convolution of a cropped kernel at the windows of the whole one."""
    margins = [pad - crop * step_ for pad, step_ in zip(step["padding"], step["dilation"])]
    top, left = (max(-margin, 0) for margin in margins)
    x = x[:, :, top : -top or None, left : -left or None]
    padding = [max(margin, 0) for margin in margins]
    return conv2d(x, kernel, None, step["stride"], padding, step["dilation"], step["groups"])


def _sp(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    x, pointwise, redundant = maps[step["in"]], weights[step["pointwise"]], weights[step["redundant"]]
    split = pointwise.shape[1]
    x3, x1 = x[:, :split], x[:, split:]
    v3 = conv2d(
        x3,
        weights[step["grouped"]],
        weights[step["shift3"]],
        step["stride"],
        step["dilation"],
        step["dilation"],
        step["groups"],
    )
    if step["stride"] != (1, 1):
        x3, x1 = octave_pool(x3), octave_pool(x1)
    v3 = v3 + conv2d(x3, pointwise)
    v1 = conv2d(x1, redundant, weights[step["shift1"]])
    gate = weights[step["gate"]].reshape([1, -1, 1, 1])
    share = F.sigmoid((global_mean(v3) - global_mean(v1)) * gate)
    return _finish(v1 + (v3 - v1) * share, step, maps)


def _filters(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    std = weights[step["std"]].reshape([-1, step["taps"]])
    return filter_norm(maps[step["in"]].reshape([-1, *std.shape]), 2, std).reshape(
        [-1, std.shape[0] * step["taps"], 1, 1]
    )


def _ddf(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    x, channel, spatial = maps[step["in"]], maps[step["channel"]], maps[step["spatial"]]
    branches = step["up"] ** 2
    channel = paddle.split(channel, branches, axis=1) if branches > 1 else [channel]
    spatial = paddle.split(spatial, branches, axis=1) if branches > 1 else [spatial]
    filtered = [_dynamic_filter(x, c, f, step) for c, f in zip(channel, spatial)]
    if branches == 1:
        y = filtered[0]
    else:  # [branch, channel] to [channel, branch]
        count = x.shape[1]
        order = paddle.to_tensor([b * count + c for c in range(count) for b in range(branches)])
        y = F.pixel_shuffle(paddle.index_select(paddle.concat(filtered, axis=1), order, axis=1), step["up"])
    return _finish(_affine(y, weights[step["scale"]], weights[step["shift"]]), step, maps)


def _dynamic_filter(x: Tensor, channel: Tensor, spatial: Tensor, step: Step) -> Tensor:
    """One branch: a sum over the taps of shifted maps times (or by the sum of) the two filters."""
    kernel, stride, dilation, heads = step["kernel"], step["stride"], step["dilation"], step["heads"]
    taps = kernel * kernel
    logits = paddle.split(spatial, heads, axis=1) if heads > 1 else [spatial]
    normal = [paddle.split(filter_norm(part, 1, step["gain"]), taps, axis=1) for part in logits]
    pad = dilation * (kernel // 2)
    padded, channel = pad2d(x, pad), channel.reshape([-1, x.shape[1], taps])
    y = None
    for tap in range(taps):
        top, left = (dilation * side for side in divmod(tap, kernel))
        shifted = padded[:, :, top : top - 2 * pad or None : stride, left : left - 2 * pad or None : stride]
        f = paddle.concat([head[tap] for head in normal], axis=1) if heads > 1 else normal[0][tap]
        f = _repeat_channels(f, x.shape[1] // heads)
        c = channel[:, :, tap].unsqueeze(-1).unsqueeze(-1)
        term = shifted * f * c if step["mode"] == "mul" else shifted * (f + c)
        y = term if y is None else y + term
    return y


def _mask(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    """A hard mask, and its density beside it."""
    geometry = (step["stride"], step["padding"], step["dilation"])
    logit = conv2d(maps[step["in"]], weights[step["weight"]], weights[step["bias"]], *geometry)
    height, width = paddle.shape(logit)[2], paddle.shape(logit)[3]
    if step["noise"]:
        mask = (noise(height, width, step["stream"], seed) < F.sigmoid(logit)).astype(logit.dtype)
    else:
        mask = (logit >= 0).astype(logit.dtype)
    if step["grid"]:
        on_row, on_column = (paddle.arange(side) % step["grid"] == 0 for side in (height, width))
        grid = paddle.logical_and(on_row.unsqueeze(1), on_column.unsqueeze(0)).astype(logit.dtype)
        mask = paddle.maximum(mask, grid)
    maps[f"density {step.out}"] = mask.mean()
    return mask


def noise(height: int | Tensor, width: int | Tensor, stream: int, seed: int) -> Tensor:
    """Uniform numbers in (0, 1), [height, width], a hash of the position, the mask's number and the seed."""
    rows, columns = paddle.arange(height, dtype="int64"), paddle.arange(width, dtype="int64")
    offset = (0x9E3779B9 * (stream + 1) + 0x85EBCA6B * seed) & WORD
    v = _low32(rows.unsqueeze(1) * width + columns.unsqueeze(0) + offset)
    v = _low32(_mix(v, 16) * 0x7FEB352D)
    v = _low32(_mix(v, 15) * 0x846CA68B)
    return ((_mix(v, 16) // 256).astype("float32") + 0.5) * 2.0**-24


def _low32(v: Tensor) -> Tensor:
    return paddle.bitwise_and(v, paddle.full([1], WORD, "int64"))


def _mix(v: Tensor, shift: int) -> Tensor:
    return paddle.bitwise_xor(v, v // 2**shift)


def _fill(step: Step, maps: Maps, weights: Weights, seed: int) -> Tensor:
    """``M F + (1 - M) sum_q table F M / (sum_q table M + eps)``; table[i, j] weighs q = p + (i, j) - window // 2."""
    mask = maps[step["mask"]]
    features = maps[step["in"]] * mask
    if step["table"] is not None:
        table = weights[step["table"]].unsqueeze(0).unsqueeze(0)
        share = (1 - mask) / (_neighbours(mask, table) + EPS)
        features = features + _neighbours(features, table) * share
    return _finish(_affine(features, None, _weight(step, "shift", weights)), step, maps)


def _neighbours(x: Tensor, table: Tensor) -> Tensor:
    """Sum over the window of the neighbours, weighted by the table."""
    count, sides = x.shape[1], table.shape[2:]
    return conv2d(x, table.expand([count, 1, *sides]), padding=[side // 2 for side in sides], groups=count)


_OPS: dict[str, Callable[[Step, Maps, Weights, int], Tensor]] = {
    "conv": _conv,
    "pool": _pool,
    "adaptive": _adaptive,
    "mean": _mean,
    "upsample": _upsample,
    "resize": _resize,
    "concat": _concat,
    "slice": _slice,
    "add": _add,
    "mul": _mul,
    "affine": _affine_step,
    "act": _act,
    "nested": _nested,
    "sp": _sp,
    "filters": _filters,
    "ddf": _ddf,
    "mask": _mask,
    "fill": _fill,
}
