"""The fast CPU convolution and batch normalisation for any Paddle network, in place and back."""

from __future__ import annotations

import math
from types import MethodType

import paddle
from paddle import Tensor, nn
from paddle.jit import not_to_static

from .layers import norm
from .layers.conv import symmetric_padding
from .layers.untouched import has_new_forward
from .ops import conv2d

SMALL, GROUPED = 500_000, 8  # multiply-adds below which, in evaluation, Paddle's convolution is faster; measured


def accelerate(net: nn.Layer, enable: bool = True) -> nn.Layer:
    """Let convolutions and batch norms of a network run by `ppeffconv.ops`, or again by Paddle.

    Values and gradients stay the same up to rounding; state dict, layer classes and export do not change. Taken are
    layers whose forward is that of `paddle.nn.Conv2D`, with zero padding, or `paddle.nn.BatchNorm2D`, in NCHW; the
    others stay as they are, and so does everything that the kernels do not take (GPUs, traced programs).

    Args:
        net: any layer; changed in place.
        enable: False undoes it.

    Returns:
        ``net``.

    Raises:
        ValueError: ``net`` is not a layer.
    """
    if not isinstance(net, nn.Layer):
        raise ValueError(f"accelerate: net must be a paddle.nn.Layer, got {type(net).__name__}")
    for layer in net.sublayers(include_self=True):
        if is_accelerated(layer) and not enable:
            del layer.forward
            vars(layer).pop("_accelerated_work", None)
        elif enable and not has_new_forward(layer):
            if _is_plain_conv(layer):
                layer._accelerated_work = _work(layer)
                layer.forward = MethodType(_convolve, layer)
            elif type(layer) is nn.BatchNorm2D and norm.fits(layer):
                layer.forward = MethodType(_normalise, layer)
    return net


def is_accelerated(layer: nn.Layer) -> bool:
    """Whether `accelerate` has taken this very layer."""
    return getattr(vars(layer).get("forward"), "__func__", None) in (_convolve, _normalise)


def _is_plain_conv(layer: nn.Layer) -> bool:
    return (
        isinstance(layer, nn.Conv2D)
        and type(layer).forward is nn.Conv2D.forward
        and layer._padding_mode == "zeros"
        and layer._data_format == "NCHW"
        and symmetric_padding(layer) is not None
    )


def _work(conv: nn.Conv2D) -> float:
    """Multiply-adds for a number of the input, of which a grouped convolution costs Paddle several times as much."""
    return conv.weight.size * min(conv._groups, GROUPED) / (conv._in_channels * math.prod(conv._stride))


@not_to_static
def _is_small(conv: nn.Conv2D, x: Tensor) -> bool:
    """Whether calling the kernel would take longer than Paddle's whole convolution does."""
    return paddle.in_dynamic_mode() and math.prod(x.shape) * conv._accelerated_work < SMALL


def _convolve(self: nn.Conv2D, x: Tensor) -> Tensor:
    if not self.training and _is_small(self, x):
        return nn.Conv2D.forward(self, x)
    return conv2d(x, self.weight, self.bias, self._stride, symmetric_padding(self), self._dilation, self._groups)


# `paddle.jit.to_static` looks for the name `self` in front
def _normalise(self: nn.BatchNorm2D, x: Tensor) -> Tensor:
    """The kernel in training; with the running statistics alone Paddle's own is faster, at every size."""
    return norm.normalise(self, x) if self.training else nn.BatchNorm2D.forward(self, x)
