"""`blend`: the fusion at the end of SPConv, with the BatchNorms of its two branches."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor

from . import loader
from .backend import choose_backend
from .batch_norm import batch_norm, check_options, is_trivial
from .batch_norm import check as check_norm
from .precision import as_widest
from .primitives import global_mean

Statistics = tuple[Tensor, Tensor, Tensor, Tensor]


def blend(
    x: Tensor,
    y: Tensor,
    norm_x: Statistics,
    norm_y: Statistics,
    training: bool = False,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    backend: str = "auto",
) -> Tensor:
    """``gate u + (1 - gate) v`` with ``u = BN(x)``, ``v = BN(y)``, ``gate = sigmoid(mean u - mean v)`` per sample and
    channel: the parameter-free fusion of "Split to Be Slim" (arXiv 2006.12085, Sec. 3.3), a softmax over two means.

    The kernel makes neither u nor v: their means follow from those of x and y.

    Args:
        x, y: [N, C, H, W].
        norm_x, norm_y: running mean, running variance, weight and bias of the BatchNorms, [C] each; in training the
            running ones move, see `batch_norm`.
        training, momentum, epsilon: of both BatchNorms.
        backend: "auto", "cpu", "cuda" or "reference".

    Returns:
        [N, C, H, W]; differentiable once in x, y, weights and biases.

    Raises:
        ValueError: a shape or type does not fit.
        RuntimeError: the backend asked for is not available.
    """
    for name, branch in (("norm_x", norm_x), ("norm_y", norm_y)):
        if not isinstance(branch, (tuple, list)) or len(branch) != 4:
            raise ValueError(f"blend: {name} must be (running mean, running variance, weight, bias), got {branch!r}")
    x, y = as_widest(x, y)
    check_norm("blend", x, *norm_x, y=y)
    check_norm("blend", y, *norm_y)
    check_options("blend", training=training, momentum=momentum, epsilon=epsilon)
    if x.ndim != 4:
        raise ValueError(f"blend: x must be [N, C, H, W], got {list(x.shape)}")
    if not is_trivial(x, training) and choose_backend("blend", backend, x, y, *norm_x, *norm_y) == "cpu":
        (mean_x, var_x, *affine_x), (mean_y, var_y, *affine_y) = norm_x, norm_y
        inputs = (x, *affine_x, y, *affine_y, mean_x, var_x, mean_y, var_y)
        return loader.call("blend", *inputs, float(momentum), float(epsilon), training)[0]
    settings = {"training": training, "momentum": momentum, "epsilon": epsilon, "backend": backend}
    return fuse(batch_norm(x, *norm_x, **settings), batch_norm(y, *norm_y, **settings))


def fuse(u: Tensor, v: Tensor) -> Tensor:
    """Two tensors [N, C, H, W] weighed by the softmax over their means, which for two is a sigmoid."""
    gate = F.sigmoid(global_mean(u) - global_mean(v))
    return v + (u - v) * gate
