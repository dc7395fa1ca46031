"""The baselines that the sampling article compares with: ReLU gating, and sampling uniformly by a smaller input."""

from __future__ import annotations

from collections.abc import Sequence

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..utils.numbers import plain_arguments
from .arguments import Attr, layer_arguments
from .auxiliary import auxiliary_losses
from .conv import Conv2D
from .decay import undecayed_attr
from .density import LastForward, macs_per_position, share
from .norm import BatchNorm2D
from .pointwise import centre_margins, window_centres


class ReLUGatedConv2D(nn.Layer):
    """Convolution beside a low-cost collaborative layer whose zeros need no convolution ("More is less", CVPR 2017).

    ``y = conv(x) * relu(bn(collaborative(x)))``, the product per element, with a 1x1 collaborative convolution of the
    same stride. As in the authors' code the convolution's own BatchNorm and ReLU come after the product, from the host
    block. The forward is dense. At first every gate is 1, whatever it sees: a product of two maps squares their size,
    and as long as the norms have no statistics, a few layers of it pass what a float can hold. Weight decay would close
    the gates, and spares their norm (`exempt_from_decay`).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias_attr: of the convolution;
            kernel_size is odd.
        shared: one gate for all output channels, as the authors' CIFAR networks have, so that a zero skips the whole
            position; False gates every channel by its own filter.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, OH, OW] as nn.Conv2D.

    Raises:
        ValueError: an even kernel, or channels that cannot be grouped.
    """

    decisions = ("collaborative",)
    undecayed = ("collaborative.1.weight", "collaborative.1.bias")

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias_attr: Attr = False,
        shared: bool = True,
    ) -> None:
        super().__init__()
        self._margins = centre_margins(kernel_size, padding, dilation)
        self.conv = Conv2D(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias_attr)
        gates = 1 if shared else out_channels
        scale, shift = (undecayed_attr(nn.initializer.Constant(value)) for value in (0.0, 1.0))
        norm = BatchNorm2D(gates, weight_attr=scale, bias_attr=shift)
        self.collaborative = nn.Sequential(Conv2D(in_channels, gates, 1, stride), norm)
        self._last = LastForward()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        gate = F.relu(self.collaborative(window_centres(x, self._margins)))
        self._last.record(densities=[share(gate > 0)], positions=y.shape[2] * y.shape[3])
        return y * gate.expand([-1, y.shape[1], -1, -1])

    def densities(self) -> list[Tensor]:
        """Share of outputs of the convolution that the gate let through in the last forward; empty before it."""
        return self._last.get("densities", [])

    def expected_macs(self, densities: Sequence[float] | None) -> int:
        """Multiply-adds per image at the last forward's size: the gates dense, the convolution at its density.

        None gives the convolution alone.
        """
        conv, gate = (self._last["positions"] * macs_per_position(layer) for layer in (self.conv, self.collaborative))
        return conv if densities is None else round(densities[0] * conv) + gate


class UniformSampling(nn.Layer):
    """A network that sees its input resized by ``scale`` (bilinear): fewer positions everywhere.

    Args:
        net: network on [N, C, H, W].
        scale: factor on height and width, positive; the sampling article resizes 1000 pixels to 800, 600 and 500.
    """

    @plain_arguments
    def __init__(self, net: nn.Layer, scale: float) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale!r}")
        self.net = net
        self.scale = float(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False))

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Those of the network inside."""
        return auxiliary_losses(self)
