"""`sampled_conv2d`: a convolution that computes only the positions of a mask."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor
from paddle.jit import not_to_static

from . import loader, reference_sampling
from .backend import choose_backend
from .conv2d import check_conv2d, conv2d, pair
from .precision import as_convolution


def sampled_conv2d(
    x: Tensor,
    weight: Tensor,
    mask: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    backend: str = "auto",
) -> Tensor:
    """Cross-correlate with zero padding at the active output positions; the others are 0. Inference only.

    The kernel's time grows with the number of active positions, up to about that of the dense convolution. "auto"
    leaves a mask without a single inactive position to `conv2d`, a few hundredths faster.

    Args:
        x: [N, C, H, W].
        weight: [O, C, kh, kw].
        mask: [N, 1, OH, OW] of any type; where it is not 0 the output is computed.
        bias: [O] or None; added at the active positions.
        stride, padding, dilation: as in `conv2d`, and OH, OW are its output's size.
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [N, O, OH, OW], without a gradient.

    Raises:
        ValueError: a shape, type or argument does not fit, or a gradient would be needed.
        RuntimeError: the backend asked for is not available.
    """
    stride, dilation = pair(stride, "stride"), pair(dilation, "dilation")
    padding = pair(padding, "padding", minimum=0)
    x, weight = as_convolution(x, weight)
    check_conv2d("sampled_conv2d", x, weight, bias, stride, padding, dilation, 1)
    _check_mask(x, weight, mask, stride, padding, dilation)
    bias = bias if bias is None else bias.astype(x.dtype)
    tensors = (x, weight) if bias is None else (x, weight, bias)
    _check_inference(tensors)
    active = mask.astype("bool")
    chosen = choose_backend("sampled_conv2d", backend, *tensors)
    if chosen == "reference":
        return reference_sampling.sampled_conv2d(x, weight, active, bias, stride, padding, dilation)
    if backend == "auto" and bool(active.all()):
        return conv2d(x, weight, bias, stride, padding, dilation)
    return loader.call("sampled_conv2d", x, weight, active, bias, list(stride), list(padding), list(dilation))[0]


@not_to_static  # pure checks: nothing to trace
def _check_mask(x, weight, mask, stride, padding, dilation) -> None:
    if not hasattr(mask, "stop_gradient"):
        raise ValueError(f"sampled_conv2d: mask must be a tensor, got {type(mask).__name__}")
    sides = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    # -1 is a size that is not known while a graph is traced
    size = [h if h < 0 else (h + 2 * p - d * (k - 1) - 1) // s + 1 for h, k, s, p, d in sides]
    expected, got = [x.shape[0], 1, *size], list(mask.shape)
    if len(got) != 4 or any(a != b and a >= 0 and b >= 0 for a, b in zip(got, expected)):
        raise ValueError(
            f"sampled_conv2d: mask must be [N, 1, OH, OW] = {expected} for x {list(x.shape)} and weight "
            f"{list(weight.shape)}, got {got}"
        )


@not_to_static
def _check_inference(tensors: tuple[Tensor, ...]) -> None:
    if paddle.in_dynamic_mode() and paddle.is_grad_enabled() and not all(t.stop_gradient for t in tensors):
        raise ValueError(
            "sampled_conv2d: has no gradient, but x, weight or bias needs one (stop_gradient=False); call it under "
            "paddle.no_grad(), or train with conv2d(x, weight, bias) * mask"
        )
