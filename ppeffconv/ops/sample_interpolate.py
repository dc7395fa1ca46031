"""`sample_interpolate`: keep the sampled positions of a feature map and interpolate the others from them."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import as_size
from . import loader, reference_sampling
from .backend import choose_backend
from .precision import HALF, as_widest, at_least_float32
from .primitives import is_float

MAX_CUDA_WINDOW = 63  # a wider one does not fit the shared memory of every GPU


def sample_interpolate(features: Tensor, mask: Tensor, sigma: Tensor, window: int = 7, backend: str = "auto") -> Tensor:
    """Reconstruct a feature map from its sampled positions with a Gaussian of learnable width.

    ``y = M F + (1 - M) R``, ``R[p] = sum_q K(p - q) M[q] F[q] / (sum_q K(p - q) M[q] + 1e-5)`` over the window around
    p with zeros outside, ``K(dy, dx) = sigma^2 / (2 pi) * exp(-sigma^2 (dy^2 + dx^2) / 2)``: the RBF kernel of
    "Spatially Adaptive Inference with Stochastic Feature Sampling and Interpolation" (ECCV 2020) as in the authors'
    code, where sigma acts as an inverse width. A position with no sample in its window becomes 0.

    Args:
        features: F, [N, C, H, W].
        mask: M in [0, 1], [N, 1, H, W], of the same dtype, or float32 beside features in half precision, where its
            gradient may need the range.
        sigma: one element, shape [1] or [], in 1 / pixels.
        window: side of the neighbourhood in pixels, odd.
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [N, C, H, W], differentiable in features, mask and sigma.

    Raises:
        ValueError: a shape, dtype or argument does not fit.
        RuntimeError: the backend asked for is not available.
    """
    if getattr(mask, "dtype", None) in HALF:
        features, mask = as_widest(features, mask)
    window = _check(features, mask, window)
    _check_sigma(sigma)
    chosen = choose_backend("sample_interpolate", backend, features, mask)
    too_wide = chosen == "cuda" and backend == "auto" and window > MAX_CUDA_WINDOW
    if chosen != "reference" and not too_wide:
        # beside features in half precision the kernel takes both in float32
        mask = at_least_float32(mask)
        return _compiled(features, mask, sigma.astype(mask.dtype), window)
    return reference_sampling.gaussian_interpolate(features, mask, sigma, window)


def kernel_interpolate(features: Tensor, mask: Tensor, kernel: Tensor | None, window: int = 7) -> Tensor:
    """`sample_interpolate` with the article's other weights: ``|kernel|``, or without a kernel the plain average.

    Args:
        kernel: [window, window], or None.
    """
    window = _check(features, mask, window)
    if kernel is None:
        return reference_sampling.average_interpolate(features, mask, window)
    if list(kernel.shape) != [window, window]:
        raise ValueError(f"kernel_interpolate: kernel must be {[window, window]}, got {list(kernel.shape)}")
    return reference_sampling.kernel_interpolate(features, mask, kernel)


@not_to_static
def _compiled(features: Tensor, mask: Tensor, sigma: Tensor, window: int) -> Tensor:
    # without a gradient to come, a GPU takes the form for masks of 0 and 1; it is right, if slower, for others too
    need_gradient = paddle.is_grad_enabled() and not all(t.stop_gradient for t in (features, mask, sigma))
    return loader.call("sample_interpolate", features, mask, sigma, window, need_gradient)[0]


@not_to_static
def _check(features: Tensor, mask: Tensor, window: int) -> int:
    """Raise ValueError unless the arguments fit; returns ``window``."""
    window = as_size(window, "sample_interpolate: window", odd=True)
    for name, tensor in (("features", features), ("mask", mask)):
        if not hasattr(tensor, "stop_gradient"):
            raise ValueError(f"sample_interpolate: {name} must be a tensor, got {type(tensor).__name__}")
    if features.ndim != 4 or 0 in features.shape[1:]:
        raise ValueError(f"sample_interpolate: features must be [N, C, H, W], got shape {list(features.shape)}")
    widened = mask.dtype == paddle.float32 and features.dtype in HALF
    if "float" not in str(features.dtype) or not (mask.dtype == features.dtype or widened):
        raise ValueError(
            "sample_interpolate: features and mask must share one floating dtype, "
            f"got {features.dtype} and {mask.dtype}; cast the mask with mask.astype(features.dtype)"
        )
    batch, _, height, width = features.shape
    expected, got = [batch, 1, height, width], list(mask.shape)
    # -1 is a size that is not known while a graph is traced
    if len(got) != 4 or any(a != b and a >= 0 and b >= 0 for a, b in zip(got, expected)):
        raise ValueError(f"sample_interpolate: mask must be {expected} for features {list(features.shape)}, got {got}")
    return window


@not_to_static
def _check_sigma(sigma: Tensor) -> None:
    if not is_float(sigma):
        got = getattr(sigma, "dtype", type(sigma).__name__)
        raise ValueError(f"sample_interpolate: sigma must be a tensor of a floating dtype, got {got}")
    if list(sigma.shape) not in ([1], []):
        raise ValueError(f"sample_interpolate: sigma must hold one element, got shape {list(sigma.shape)}")
