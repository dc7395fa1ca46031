"""BatchNorm on the fast CPU path, together with the residual sum and the ReLU behind it."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..ops import batch_norm


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
