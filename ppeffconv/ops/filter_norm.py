"""`filter_norm`: standardise generated filters over their taps, then scale them."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import is_number, is_size
from . import loader, reference
from .backend import choose_backend
from .precision import as_widest
from .primitives import is_float


def filter_norm(
    logits: Tensor, axis: int, scale: float | Tensor | None = None, eps: float = 1e-10, backend: str = "auto"
) -> Tensor:
    """Filter normalisation (arXiv 2104.14107, Eq. 3): ``(v - mean) / (std + eps) * scale`` over the taps of a filter.

    ``std`` is the unbiased one. Where all taps are equal the result and its gradient are 0.

    Args:
        logits: filters of any rank, such as [N, T, H, W] with their taps on axis 1 or [N, C, T] with them on axis 2.
        axis: of the taps.
        scale: a number; or a tensor [C, T] for logits [N, C, T] with their taps on the last axis; default 1.
        eps: added to the standard deviation.
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        a tensor like ``logits``, differentiable once in them and in a tensor ``scale``.

    Raises:
        ValueError: a shape, type or argument does not fit.
        RuntimeError: the backend asked for is not available.
    """
    if hasattr(scale, "stop_gradient"):
        logits, scale = as_widest(logits, scale)
    axis = _check(logits, axis, scale, eps)
    tensors = (logits, scale) if hasattr(scale, "stop_gradient") else (logits,)
    chosen = choose_backend("filter_norm", backend, *tensors)
    if chosen == "cpu" and len(tensors) == 2:
        return loader.call("filter_norm_scaled", *tensors, float(eps))[0]
    if chosen == "reference":
        normal = reference.filter_norm(logits, axis, eps)
        return normal if scale is None else normal * scale
    factor = float(scale) if scale is not None and len(tensors) == 1 else 1.0
    y = loader.call("filter_norm", logits, axis, factor, float(eps))[0]
    return y if len(tensors) == 1 else y * scale


@not_to_static  # pure checks: nothing to trace
def _check(logits: Tensor, axis: int, scale: float | Tensor | None, eps: float) -> int:
    """Raise ValueError unless the arguments fit; returns the axis, counted from the front."""
    _check_tensor("logits", logits)
    if not is_size(axis, -logits.ndim) or axis >= logits.ndim:
        raise ValueError(f"filter_norm: axis must be one of the {logits.ndim} of logits {logits.shape}, got {axis!r}")
    axis = int(axis) % logits.ndim
    if not is_number(eps) or eps < 0:
        raise ValueError(f"filter_norm: eps must be a number >= 0, got {eps!r}")
    if logits.shape[axis] == 0:
        raise ValueError(f"filter_norm: a filter needs taps, got logits {logits.shape} with axis={axis}")
    if scale is None:
        return axis
    if is_number(scale):
        if abs(scale) > paddle.finfo(logits.dtype).max:
            raise ValueError(f"filter_norm: scale must be a number of {logits.dtype}, got {scale!r}")
        return axis
    _check_tensor("scale", scale)
    if logits.ndim != 3 or axis != 2 or list(scale.shape) != logits.shape[1:]:
        raise ValueError(
            "filter_norm: a tensor scale must be [C, T] for logits [N, C, T] with axis=2, "
            f"got {list(scale.shape)} for logits {logits.shape} with axis={axis}"
        )
    if scale.dtype != logits.dtype:
        raise ValueError(f"filter_norm: dtypes must agree, got logits {logits.dtype} and scale {scale.dtype}")
    return axis


def _check_tensor(name: str, tensor: Tensor) -> None:
    if not is_float(tensor):
        got = getattr(tensor, "dtype", type(tensor).__name__)
        raise ValueError(f"filter_norm: {name} must be a tensor of a floating dtype, got {got}")
