"""BatchNorm on the fast CPU path, together with what follows it: residual sum and ReLU, or SPConv's fusion."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..ops import batch_norm, blend
from ..ops.blend import fuse
from .untouched import is_untouched


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


_FORWARDS = {base.forward for base in (nn.BatchNorm1D, nn.BatchNorm2D, nn.SyncBatchNorm, BatchNorm2D)}


def is_batch_norm(layer: nn.Layer) -> bool:
    """Whether ``layer`` is a batch normalisation and no more: a subclass may do something else in its forward."""
    return isinstance(layer, (nn.BatchNorm1D, nn.BatchNorm2D, nn.SyncBatchNorm)) and type(layer).forward in _FORWARDS


def norm_act(norm: nn.Layer, x: Tensor, residual: Tensor | None = None, relu: bool = True) -> Tensor:
    """``max(0, norm(x) + residual)``, fused where ``norm`` is our BatchNorm2D and nobody waits for its own output; any
    other layer (a SyncBatchNorm after `convert_sync_batchnorm`) is called as it is.
    """
    if is_untouched(norm, BatchNorm2D):
        return norm(x, residual, relu)
    return _finish(norm(x), residual, relu)


def norm_blend(norm_x: nn.Layer, x: Tensor, norm_y: nn.Layer, y: Tensor) -> Tensor:
    """``blend`` of two branches, each with its BatchNorm: [N, C, H, W] -> [N, C, H, W], see `ppeffconv.ops.blend`."""
    if not (_bare(norm_x) and _bare(norm_y)) or _settings(norm_x) != _settings(norm_y):
        return fuse(norm_x(x), norm_y(y))
    branches = [(norm._mean, norm._variance, norm.weight, norm.bias) for norm in (norm_x, norm_y)]
    return blend(x, y, *branches, *_settings(norm_x))


def _bare(norm: nn.Layer) -> bool:
    """Whether nobody would notice that the layer is not called."""
    return is_untouched(norm, BatchNorm2D) and fits(norm)


def fits(norm: nn.BatchNorm2D) -> bool:
    """Whether the settings of a BatchNorm layer are those that the op takes."""
    # `is`, because `in` would compare the tensors
    affine = norm.weight is not None and norm.bias is not None
    return norm._data_format == "NCHW" and norm._use_global_stats is not False and affine


def normalise(norm: nn.BatchNorm2D, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
    """Run the op on a layer that `fits`."""
    return batch_norm(x, norm._mean, norm._variance, norm.weight, norm.bias, residual, relu, *_settings(norm))


def _settings(norm: nn.BatchNorm2D) -> tuple[bool, float, float]:
    """Whether the batch's statistics are used, momentum, and epsilon."""
    return norm.training and not norm._use_global_stats, norm._momentum, norm._epsilon


def _finish(y: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    y = y if residual is None else y + residual
    return F.relu(y) if relu else y
