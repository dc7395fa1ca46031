"""Dense weights cut into the four kernels of an octave convolution."""

from __future__ import annotations

import paddle
from paddle import Tensor

from ..layers import OctConv2D
from .dense import put


def fill_octconv(conv: OctConv2D, weight: Tensor, bias: Tensor | None = None) -> None:
    """Give the four kernels the blocks of a dense weight [C, c / groups, k, k]; the low channels are the last ones.

    A path that works on a coarser grid gets its block as seen from there (`coarse_taps`): low outputs are then exactly
    the pooled outputs of the dense convolution, where the features it reads are constant over 2x2 pixels.

    With groups, the rows of every group's high channels come first, then those of the low ones (see `channel_order`);
    depthwise, each row has its own channel alone, and stays in its place.
    """
    high_in, high_out = conv.in_split[0], conv.out_split[0]
    rows = {"h": slice(0, high_out), "l": slice(high_out, None)}
    columns = {"h": slice(0, high_in // conv.groups), "l": slice(high_in // conv.groups, None)}
    if conv.groups == sum(conv.in_split):
        columns = {"h": slice(None), "l": slice(None)}
    for name, path in conv.named_children():  # conv_h2l is the path from high to low
        block = weight[rows[name[-1]], columns[name[-3]]]
        if path._dilation == [1, 1]:  # shifts of a dilated kernel fall between the taps of the coarser one
            at_low = name.endswith("l") or (name == "conv_l2h" and conv.stride == 1)
            taps = coarse_taps(weight.shape[-1], conv.stride, 2 if at_low else 1).astype(weight.dtype)
            block = paddle.matmul(paddle.matmul(taps, block), taps, transpose_y=True)
        put(path.weight, block)
        if path.bias is not None:
            put(path.bias, bias[rows[name[-1]]])


def coarse_taps(kernel_size: int, stride: int, pooling: int) -> Tensor:
    """The matrix A [k, k] by which a dense kernel W becomes A W A^T on a coarser grid.

    With an input repeated ``stride * pooling`` times per axis, and outputs averaged over ``pooling`` of them, output r
    of a window reads with tap t the coarse pixel floor((stride * r + t) / (stride * pooling)).
    """
    middle = kernel_size // 2
    taps = paddle.zeros([kernel_size, kernel_size])
    for r in range(pooling):
        for t in range(-middle, middle + 1):
            taps[middle + (stride * r + t) // (stride * pooling), middle + t] += 1 / pooling
    return taps


def channel_order(width: int, groups: int, high: int) -> Tensor:
    """Order of the channels of a grouped convolution in which each group's high channels precede all low ones.

    An octave convolution of the same ``groups`` then connects the same channels as the dense one.

    Args:
        high: channels of the high group, a multiple of ``groups``.
    """
    numbers = paddle.arange(width).reshape([groups, -1])
    return paddle.concat([numbers[:, : high // groups].flatten(), numbers[:, high // groups :].flatten()])
