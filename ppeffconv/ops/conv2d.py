"""`conv2d`: the plain convolution, on CPU by oneDNN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle.nn.functional as F
from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import as_size, is_size
from . import loader
from .backend import choose_backend
from .precision import as_convolution, mixes
from .primitives import add_bias, is_float

LARGEST = 2**40  # elements of an output; beyond what memory can hold Paddle's count of them wraps


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    backend: str = "auto",
) -> Tensor:
    """Cross-correlate with zero padding, as `paddle.nn.functional.conv2d`.

    On CPU in float32 Paddle's own convolution is several times slower than the oneDNN library it bundles, which the
    kernel of this op uses. Everything else (float64, GPUs, traced programs) is Paddle's.

    Args:
        x: [N, C, H, W].
        weight: [O, C / groups, kh, kw].
        bias: [O] or None.
        stride, padding, dilation: one number, or (height, width); padding on both sides.
        groups: must divide C and O.
        backend: "auto", "cpu", "cuda" or "reference" (Paddle's).

    Returns:
        [N, O, OH, OW], OH = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1 and OW likewise; differentiable
        once in x, weight and bias, with gradients that do not differ from run to run.

    Raises:
        ValueError: a shape, type or argument does not fit.
        RuntimeError: the backend asked for is not available.
    """
    stride, dilation = pair(stride, "stride"), pair(dilation, "dilation")
    padding = pair(padding, "padding", minimum=0)
    x, weight = as_convolution(x, weight, groups)
    groups = check_conv2d("conv2d", x, weight, bias, stride, padding, dilation, groups)
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if choose_backend("conv2d", backend, *tensors) == "cpu":
        return _compiled(tensors, stride, padding, dilation, groups)
    return add_bias(F.conv2d(x, weight, None, stride, list(padding), dilation, groups), bias)


@not_to_static
def _compiled(tensors: tuple[Tensor, ...], stride, padding, dilation, groups) -> Tensor:
    op = "conv2d" if len(tensors) == 2 else "conv2d_bias"
    need_x = not tensors[0].stop_gradient
    need_weight = not all(tensor.stop_gradient for tensor in tensors[1:])
    return loader.call(op, *tensors, list(stride), list(padding), list(dilation), groups, need_x, need_weight)[0]


@not_to_static  # numbers: nothing to trace
def pair(value: int | Sequence[int], name: str, minimum: int = 1) -> tuple[int, int]:
    """Return ``value`` as (height, width); ValueError if it is not one or two integers of at least ``minimum``."""
    values = value if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(is_size(v, minimum) and v < 2**31 for v in values):
        raise ValueError(f"{name} must be one or two integers >= {minimum}, got {value!r}")
    return int(values[0]), int(values[1])


@not_to_static  # pure checks: nothing to trace
def check_conv2d(op, x, weight, bias, stride, padding, dilation, groups) -> int:
    """Raise ValueError, in the name of ``op``, unless the arguments are those of a convolution; returns ``groups``."""
    for name, tensor, rank in (("x", x, 4), ("weight", weight, 4), ("bias", bias, 1)):
        if tensor is None and name == "bias":
            continue
        if getattr(tensor, "ndim", None) != rank or not hasattr(tensor, "stop_gradient"):
            got = f"shape {list(tensor.shape)}" if hasattr(tensor, "shape") else type(tensor).__name__
            raise ValueError(f"{op}: {name} must be a tensor of {rank} dimension{'s' * (rank > 1)}, got {got}")
        if not is_float(tensor) or (tensor.dtype != x.dtype and not (name == "bias" and mixes(tensor, x))):
            raise ValueError(f"{op}: x, weight and bias must share one floating type, got {x.dtype}, {tensor.dtype}")
    groups = as_size(groups, f"{op}: groups")
    (batch, channels, *size), (out, per_group, *kernel) = x.shape, weight.shape
    # -1 is a size that is not known while a graph is traced
    if min(out, per_group) < 1 or out % groups or channels not in (per_group * groups, -1):
        raise ValueError(f"{op}: weight {weight.shape} with groups={groups} does not fit x {x.shape}")
    if bias is not None and list(bias.shape) != [out]:
        raise ValueError(f"{op}: bias must be [{out}] for weight {weight.shape}, got {list(bias.shape)}")
    for side, taps, pad, step in zip(size, kernel, padding, dilation):
        if taps < 1 or side == 0 or 0 < side < step * (taps - 1) + 1 - 2 * pad:
            raise ValueError(
                f"{op}: kernel {kernel} with dilation {dilation} is empty or larger than x {x.shape} "
                f"padded by {padding}"
            )
    sides = zip(size, kernel, stride, padding, dilation)
    result = [batch, out, *((h + 2 * p - d * (k - 1) - 1) // s + 1 for h, k, s, p, d in sides)]
    if max(batch, 1) * math.prod(result[1:]) >= LARGEST:
        raise ValueError(f"{op}: x {x.shape} padded by {padding} would give an output {result}, too large to exist")
    return groups
