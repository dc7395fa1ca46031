"""`batch_norm`: batch normalisation, and in the same pass the residual sum and the ReLU that follow it."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import is_number
from . import loader
from .backend import choose_backend
from .precision import mixes
from .primitives import is_float


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    relu: bool = False,
    training: bool = False,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    backend: str = "auto",
) -> Tensor:
    """``max(0, BN(x) + residual)``, each part optional; BN as in `paddle.nn.functional.batch_norm`.

    A residual network on CPU spends as long in these elementwise steps as in its convolutions, because each one sends
    the whole tensor through memory. The kernel takes a channel at a time, which stays in the cache.

    Args:
        x: [N, C, ...].
        running_mean, running_var: [C]; in training they move to ``momentum * running + (1 - momentum) * batch``.
        weight, bias: [C].
        residual: like x, or None.
        relu: clip at 0 in the end.
        training: normalise by the statistics of the batch (biased variance), else by the running ones.
        backend: "auto", "cpu", "cuda" or "reference" (Paddle's own ops).

    Returns:
        Like x; differentiable once in x, weight, bias and residual.

    Raises:
        ValueError: a shape or type does not fit.
        RuntimeError: the backend asked for is not available.
    """
    check("batch_norm", x, running_mean, running_var, weight, bias, residual=residual)
    check_options("batch_norm", relu=relu, training=training, momentum=momentum, epsilon=epsilon)
    summed = () if residual is None else (residual,)
    tensors = (x, running_mean, running_var, weight, bias, *summed)
    if not is_trivial(x, training) and choose_backend("batch_norm", backend, *tensors) == "cpu":
        op = "batch_norm_add" if summed else "batch_norm"
        return loader.call(
            op, x, weight, bias, *summed, running_mean, running_var, float(momentum), float(epsilon), training, relu
        )[0]
    y = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, epsilon)
    y = y if residual is None else y + residual
    return F.relu(y) if relu else y


@not_to_static  # a comparison of numbers, and no branch of a traced program
def is_trivial(x: Tensor, training: bool) -> bool:
    """Whether there is nothing to do: no sample, or one number a channel, which Paddle leaves as it is in training."""
    return x.shape[0] == 0 or (training and all(side == 1 for axis, side in enumerate(x.shape) if axis != 1))


@not_to_static
def check(op: str, x: Tensor, running_mean, running_var, weight, bias, **like_x: Tensor | None) -> None:
    """Raise ValueError, which names ``op``, unless the statistics and parameters fit x and the others are like it."""
    if getattr(x, "ndim", 0) < 2 or not is_float(x) or 0 in x.shape[1:]:
        got = f"{x.dtype} of shape {list(x.shape)}" if hasattr(x, "shape") else type(x).__name__
        raise ValueError(f"{op}: x must be a floating tensor [N, C, ...] with channels and pixels, got {got}")
    channels = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, tensor in channels.items():
        if list(getattr(tensor, "shape", [])) != [x.shape[1]]:
            raise ValueError(f"{op}: {name} must be [{x.shape[1]}] for x {x.shape}, got {_shape(tensor)}")
        if tensor.dtype != x.dtype and (tensor.dtype != paddle.float32 or x.dtype == paddle.float64):
            raise ValueError(f"{op}: {name} must be {x.dtype} like x, or float32, got {tensor.dtype}")
    for name, tensor in like_x.items():
        if tensor is not None and (_shape(tensor) != _shape(x) or (tensor.dtype != x.dtype and not mixes(tensor, x))):
            raise ValueError(f"{op}: {name} must be {x.dtype} {x.shape} like x, got {_shape(tensor)}")


@not_to_static
def check_options(op: str, **options: bool | float) -> None:
    """Raise ValueError unless ``relu`` and ``training`` are flags and the others numbers."""
    for name, value in options.items():
        flag = name in ("relu", "training")
        if not (isinstance(value, bool) if flag else is_number(value)):
            raise ValueError(f"{op}: {name} must be {'True or False' if flag else 'a number'}, got {value!r}")


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape)) if hasattr(tensor, "shape") else type(tensor).__name__
