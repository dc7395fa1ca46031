"""BatchNorm on the fast CPU path, together with what follows it: residual sum and ReLU, or SPConv's fusion."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..ops import batch_norm, blend
from ..ops.blend import fuse


class BatchNorm2D(nn.BatchNorm2D):
    """`paddle.nn.BatchNorm2D` whose forward can go on: ``max(0, norm(x) + residual)`` in one pass over memory.

    Statistics, parameters, their names and `convert_sync_batchnorm` are Paddle's.

    Shapes:
        x and residual: [N, C, H, W] -> [N, C, H, W].
    """

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        if not fits(self):
            return _finish(super().forward(x), residual, relu)
        return normalise(self, x, residual, relu)


def norm_act(norm: nn.Layer, x: Tensor, residual: Tensor | None = None, relu: bool = True) -> Tensor:
    """``max(0, norm(x) + residual)``, fused where ``norm`` is our BatchNorm2D; any other layer (a SyncBatchNorm after
    `convert_sync_batchnorm`) is called as it is.
    """
    if isinstance(norm, BatchNorm2D):
        return norm(x, residual, relu)
    return _finish(norm(x), residual, relu)


def norm_blend(norm_x: nn.Layer, x: Tensor, norm_y: nn.Layer, y: Tensor) -> Tensor:
    """``blend`` of two branches, each with its BatchNorm: [N, C, H, W] -> [N, C, H, W], see `ppeffconv.ops.blend`."""
    settings = [(norm.training, norm._use_global_stats, norm._momentum, norm._epsilon) for norm in (norm_x, norm_y)]
    if not (_bare(norm_x) and _bare(norm_y)) or settings[0] != settings[1]:
        return fuse(norm_x(x), norm_y(y))
    training, use_global_stats, momentum, epsilon = settings[0]
    branches = [(norm._mean, norm._variance, norm.weight, norm.bias) for norm in (norm_x, norm_y)]
    return blend(x, y, *branches, training and not use_global_stats, momentum, epsilon)


def _bare(norm: nn.Layer) -> bool:
    """Whether nobody would notice that the layer is not called."""
    return isinstance(norm, BatchNorm2D) and fits(norm) and not (norm._forward_pre_hooks or norm._forward_post_hooks)


def fits(norm: nn.BatchNorm2D) -> bool:
    """Whether the settings of a BatchNorm layer are those that the op takes."""
    return norm._data_format == "NCHW" and norm._use_global_stats is not False and None not in (norm.weight, norm.bias)


def normalise(norm: nn.BatchNorm2D, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
    """Run the op on a layer that `fits`."""
    training = norm.training and not norm._use_global_stats
    statistics = (norm._mean, norm._variance)
    return batch_norm(x, *statistics, norm.weight, norm.bias, residual, relu, training, norm._momentum, norm._epsilon)


def _finish(y: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    y = y if residual is None else y + residual
    return F.relu(y) if relu else y
