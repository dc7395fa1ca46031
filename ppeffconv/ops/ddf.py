"""`ddf`: decoupled dynamic filtering."""

from __future__ import annotations

from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import as_size
from . import loader, reference
from .backend import choose_backend
from .precision import as_widest
from .primitives import is_float

MODES = ("mul", "add")


def ddf(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
    mode: str = "mul",
    backend: str = "auto",
) -> Tensor:
    """Filter each channel with a kernel that is decoupled into a per-channel and a per-pixel part.

    ``y[b,c,p] = sum_t w_t * x[b, c, stride * p + dilation * offset_t]`` with zero padding, where ``w_t`` is
    ``channel_filter[b,c,t] * spatial_filter[b,t,p]`` for "mul" and their sum for "add" ("Decoupled Dynamic
    Filter Networks", CVPR 2021; like the authors' code a correlation, without the flip of the printed formula).

    Args:
        x: [B, C, H, W].
        channel_filter: [B, C, k, k] or [B, C, k*k], taps row by row.
        spatial_filter: [B, k*k, OH, OW] at output resolution, OH = (H - 1) // stride + 1 and OW likewise.
        kernel_size: k, odd.
        mode: "mul" or "add".
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [B, C, OH, OW], differentiable in all three tensors.

    Raises:
        ValueError: a shape or an argument does not fit.
        RuntimeError: the backend asked for is not available.
    """
    x, channel_filter, spatial_filter = as_widest(x, channel_filter, spatial_filter)
    kernel_size, stride, dilation = _check(x, channel_filter, spatial_filter, kernel_size, stride, dilation, mode)
    stride, dilation = _within(x, stride, dilation)
    taps = channel_filter if channel_filter.ndim == 3 else channel_filter.reshape([0, 0, -1])
    if choose_backend("ddf", backend, x, taps, spatial_filter) != "reference":
        return loader.call("ddf", x, taps, spatial_filter, kernel_size, stride, dilation, mode)[0]
    return reference.ddf(x, taps, spatial_filter, kernel_size, stride, dilation, mode)


@not_to_static  # pure checks: nothing to trace
def _check(x, channel_filter, spatial_filter, kernel_size, stride, dilation, mode) -> tuple[int, int, int]:
    """Raise ValueError unless the arguments fit; returns the numbers among them."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"ddf: mode must be 'mul' or 'add', got {mode!r}")
    kernel_size = as_size(kernel_size, "ddf: kernel_size", odd=True)
    stride, dilation = as_size(stride, "ddf: stride"), as_size(dilation, "ddf: dilation")
    _check_tensors(x=x, channel_filter=channel_filter, spatial_filter=spatial_filter)
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise ValueError(f"ddf: x must be [B, C, H, W] and not empty, got shape {list(x.shape)}")
    batch, channels, height, width = x.shape
    taps = kernel_size * kernel_size
    square = [batch, channels, kernel_size, kernel_size]
    if not (_fits(channel_filter, square) or _fits(channel_filter, [batch, channels, taps])):
        raise ValueError(f"ddf: channel_filter must be {square} for x {x.shape}, got {list(channel_filter.shape)}")
    out = [batch, taps, *(size if size < 0 else (size - 1) // stride + 1 for size in (height, width))]
    if not _fits(spatial_filter, out):
        raise ValueError(f"ddf: spatial_filter must be {out} for x {x.shape}, got {list(spatial_filter.shape)}")
    return kernel_size, stride, dilation


def _check_tensors(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not is_float(tensor):
            got = getattr(tensor, "dtype", type(tensor).__name__)
            raise ValueError(f"ddf: {name} must be a tensor of a floating dtype, got {got}")
    if len({str(tensor.dtype) for tensor in tensors.values()}) > 1:
        got = ", ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items())
        raise ValueError(f"ddf: dtypes must agree, got {got}")


@not_to_static
def _within(x: Tensor, stride: int, dilation: int) -> tuple[int, int]:
    """Stride and dilation no larger than the image: beyond it nothing changes but the padding."""
    limit = max(x.shape[2:])
    return (stride, dilation) if min(x.shape[2:]) < 0 else (min(stride, limit), min(dilation, limit))


def _fits(tensor: Tensor, expected: list[int]) -> bool:
    """Whether the shape is the expected one; -1 is a size not known while tracing and fits anything."""
    shape = list(tensor.shape)
    return len(shape) == len(expected) and all(a == b or a < 0 or b < 0 for a, b in zip(shape, expected))
