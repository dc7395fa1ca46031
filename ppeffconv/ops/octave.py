"""`octave_pool`, `octave_upsample` and `octave_upsample_add`: the exchange between octave convolution's resolutions."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import is_size
from . import loader, reference_octave
from .backend import choose_backend
from .precision import as_widest
from .primitives import is_float


def octave_pool(x: Tensor, backend: str = "auto") -> Tensor:
    """Average pool by 2 with ceil; a window that hangs over the border averages what it has.

    Args:
        x: [N, C, H, W].
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [N, C, ceil(H / 2), ceil(W / 2)], differentiable once.

    Raises:
        ValueError: x is not a floating tensor of four dimensions, or has no pixels.
        RuntimeError: the backend asked for is not available.
    """
    _check("octave_pool", x=x)
    if choose_backend("octave_pool", backend, x) != "reference":
        return loader.call("octave_pool", x)[0]
    return reference_octave.octave_pool(x)


def octave_upsample(low: Tensor, size: tuple[int, int] | None = None, backend: str = "auto") -> Tensor:
    """Repeat each pixel 2 x 2 and crop to ``size``: nearest upsampling that also fits odd sizes.

    Args:
        low: [N, C, h, w].
        size: (H, W) with ceil(H / 2) = h and ceil(W / 2) = w; default (2h, 2w).
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [N, C, H, W], differentiable once.

    Raises:
        ValueError: low is not a floating tensor of four dimensions, has no pixels, or is not of half the size.
        RuntimeError: the backend asked for is not available.
    """
    _check("octave_upsample", low=low)
    if size is not None:
        size = _check_half("octave_upsample", low, size)
    if choose_backend("octave_upsample", backend, low) != "reference":
        return loader.call("octave_upsample", low, *(size or [2 * side for side in low.shape[2:]]))[0]
    return reference_octave.octave_upsample(low, size)


def octave_upsample_add(high: Tensor, low: Tensor, backend: str = "auto") -> Tensor:
    """``high + U(low)``, U repeating each pixel 2 x 2 and cropping to the size of ``high``.

    Args:
        high: [N, C, H, W].
        low: [N, C, ceil(H / 2), ceil(W / 2)], of the same dtype.
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [N, C, H, W], differentiable once in both.

    Raises:
        ValueError: the tensors are not floating ones of four dimensions, have no pixels, or do not fit each other.
        RuntimeError: the backend asked for is not available.
    """
    high, low = as_widest(high, low)
    _check("octave_upsample_add", high=high, low=low)
    _check_fit(high, low)
    if choose_backend("octave_upsample_add", backend, high, low) != "reference":
        return loader.call("octave_upsample_add", high, low)[0]
    return reference_octave.octave_upsample_add(high, low)


@not_to_static  # pure checks: nothing to trace
def _check(op: str, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not is_float(tensor):
            got = getattr(tensor, "dtype", type(tensor).__name__)
            raise ValueError(f"{op}: {name} must be a tensor of a floating dtype, got {got}")
        if tensor.ndim != 4 or 0 in tensor.shape[1:]:
            raise ValueError(f"{op}: {name} must be [N, C, H, W] and not empty, got shape {list(tensor.shape)}")
    if len({str(tensor.dtype) for tensor in tensors.values()}) > 1:
        got = ", ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items())
        raise ValueError(f"{op}: dtypes must agree, got {got}")


@not_to_static
def _check_half(op: str, low: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Raise ValueError unless ``low`` is of half the ``size``, which is returned."""
    if not paddle.in_dynamic_mode():
        return size  # while a graph is traced, sizes are not known
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(is_size(s) and s < 2**31 for s in size):
        raise ValueError(f"{op}: size must be two integers (H, W), got {size!r}")
    if [(side + 1) // 2 for side in size] != low.shape[2:]:
        raise ValueError(f"{op}: size {tuple(size)} is not the double of low {low.shape}, but for a cropped last pixel")
    return int(size[0]), int(size[1])


@not_to_static
def _check_fit(high: Tensor, low: Tensor) -> None:
    """-1 is a size that is not known while a graph is traced, and fits anything."""
    batch, channels, height, width = high.shape
    expected = [batch, channels, *(side if side < 0 else (side + 1) // 2 for side in (height, width))]
    if any(a != b and a >= 0 and b >= 0 for a, b in zip(low.shape, expected)):
        raise ValueError(f"octave_upsample_add: low must be {expected} for high {high.shape}, got {low.shape}")
