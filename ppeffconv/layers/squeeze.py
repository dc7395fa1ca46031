"""Squeeze-and-excitation: channels gated by their global means (arXiv 1709.01507)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..ops.primitives import global_mean
from ..utils.numbers import as_size
from .arguments import layer_arguments
from .conv import Conv2D, check_input
from .octave import Pair, split_channels


class SqueezeExcitation(nn.Layer):
    """``x * sigmoid(W2 relu(W1 mean(x)))``, Eqs. 2 to 4 of the paper: [N, channels, H, W] -> the same.

    Args:
        channels: width of the map.
        reduction: how much narrower the hidden layer is.

    Raises:
        ValueError: channels that are no positive integer, or an input of another width.
    """

    @layer_arguments
    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        as_size(channels, "channels")
        as_size(reduction, "reduction")
        hidden = max(1, channels // reduction)
        self.channels = channels
        self.fc1 = Conv2D(channels, hidden, 1, bias_attr=True)
        self.fc2 = Conv2D(hidden, channels, 1, bias_attr=True)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels, "SqueezeExcitation")
        return x * F.sigmoid(self.fc2(F.relu(self.fc1(global_mean(x)))))


class OctaveSqueezeExcitation(nn.Layer):
    """The same on a pair of octave groups, as the octave authors have it: one hidden layer sees the means of both.

    Args:
        channels: total width.
        alpha: share of low-frequency channels in [0, 1).
        reduction: how much narrower the hidden layer is than ``channels``.

    Shapes:
        (high [N, c_h, H, W], low [N, c_l, ceil(H/2), ceil(W/2)] or None) -> the same.
    """

    @layer_arguments
    def __init__(self, channels: int, alpha: float = 0.5, reduction: int = 16) -> None:
        super().__init__()
        as_size(channels, "channels")
        as_size(reduction, "reduction")
        high, low = split_channels(channels, alpha)
        hidden = max(1, channels // reduction)
        self.fc1 = Conv2D(channels, hidden, 1, bias_attr=True)
        self.fc2_h = Conv2D(hidden, high, 1, bias_attr=True)
        self.fc2_l = Conv2D(hidden, low, 1, bias_attr=True) if low else None

    def forward(self, x: Pair) -> Pair:
        means = [global_mean(group) for group in x if group is not None]
        hidden = F.relu(self.fc1(paddle.concat(means, axis=1)))
        gates = (self.fc2_h, self.fc2_l)
        return tuple(None if group is None else group * F.sigmoid(gate(hidden)) for group, gate in zip(x, gates))
