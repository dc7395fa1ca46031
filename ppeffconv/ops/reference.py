"""Decoupled dynamic filtering in plain Paddle: the form that reads like the paper, and every kernel's oracle."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor


def ddf(
    x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, kernel_size: int, stride: int, dilation: int, mode: str
) -> Tensor:
    """DDF as a sum over kernel taps (arXiv 2104.14107, as correlation). Shapes as in `ppeffconv.ops.ddf`."""
    pad = dilation * (kernel_size // 2)
    padded = F.pad(x, [pad] * 4)

    def window(offset: int) -> slice:
        # a negative stop keeps the slice valid for sizes that are unknown while tracing
        return slice(offset * dilation, offset * dilation - 2 * pad or None, stride)

    out = None
    for tap in range(kernel_size * kernel_size):
        i, j = divmod(tap, kernel_size)
        shifted = padded[:, :, window(i), window(j)]
        c = channel_filter[:, :, tap].unsqueeze([-1, -2])
        f = spatial_filter[:, tap : tap + 1]
        term = shifted * f * c if mode == "mul" else shifted * (f + c)
        out = term if out is None else out + term
    return out


def filter_norm(logits: Tensor, axis: int, eps: float = 1e-10) -> Tensor:
    """Standardise filter logits over their taps: (v - mean) / (std + eps), unbiased std, computed in float32 or wider.

    Where all taps are equal the result and its gradient are 0; sqrt has no finite slope there, so it is kept out of
    the graph.
    """
    dtype = logits.dtype
    if dtype in (paddle.float16, paddle.bfloat16):
        logits = logits.astype("float32")
    centred = logits - logits.mean(axis, keepdim=True)
    variance = (centred * centred).sum(axis, keepdim=True) / max(logits.shape[axis] - 1, 1)
    varies = variance > 0
    std = paddle.where(varies, variance, paddle.ones_like(variance)).sqrt()
    return (centred / (std + eps) * varies.astype(centred.dtype)).astype(dtype)
