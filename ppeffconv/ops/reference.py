"""Decoupled dynamic filtering in plain Paddle: the form that reads like the paper, and every kernel's oracle."""

from __future__ import annotations

import paddle
from paddle import Tensor

from .precision import at_least_float32
from .primitives import crop2d, pad2d, shape_of, subsample2d


def ddf(
    x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, kernel_size: int, stride: int, dilation: int, mode: str
) -> Tensor:
    """DDF as a sum over kernel taps (arXiv 2104.14107, as correlation). Shapes as in `ppeffconv.ops.ddf`."""
    taps = kernel_size * kernel_size
    padded = pad2d(x, dilation * (kernel_size // 2))
    height, width = shape_of(x)[2:]
    per_channel = paddle.split(channel_filter.unsqueeze(-1), taps, axis=2)
    per_pixel = paddle.split(spatial_filter, taps, axis=1)
    out = None
    for tap, (c, f) in enumerate(zip(per_channel, per_pixel)):
        i, j = divmod(tap, kernel_size)
        shifted = subsample2d(crop2d(padded, i * dilation, j * dilation, height, width), stride)
        f = f.expand([-1, x.shape[1], -1, -1])  # multiplying while broadcasting over channels is several times slower
        term = shifted * f * c if mode == "mul" else shifted * (f + c)
        out = term if out is None else out + term
    return out


def filter_norm(logits: Tensor, axis: int, eps: float = 1e-10) -> Tensor:
    """Standardise filter logits over their taps: (v - mean) / (std + eps), unbiased std, computed in float32 or wider.

    Where all taps are equal the result and its gradient are 0: the differences to the first tap are, while a mean is
    rounded, and sqrt, which has no finite slope there, is kept out of the graph.
    """
    dtype = logits.dtype
    logits = at_least_float32(logits)
    # the result does not depend on what is subtracted from all taps, so neither does its gradient
    differences = logits - paddle.slice(logits, [axis], [0], [1]).detach()
    centred = differences - differences.mean(axis, keepdim=True)
    variance = (centred * centred).sum(axis, keepdim=True) / max(logits.shape[axis] - 1, 1)
    varies = variance > 0
    std = paddle.where(varies, variance, paddle.ones_like(variance)).sqrt()
    return (centred / (std + eps) * varies.astype(centred.dtype)).astype(dtype)
