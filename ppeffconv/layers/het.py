"""HetConv2D: k x k kernels on a part of each filter's input channels, 1x1 kernels on the others."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn

from ..ops import conv2d
from ..utils.numbers import as_size
from .arguments import Attr, layer_arguments
from .conv import Conv2D, check_channels, check_input, kaiming_fan_out, pair
from .pointwise import centre_margins, window_centres


class HetConv2D(nn.Layer):
    """Heterogeneous convolution (arXiv 1903.04120): every filter has k x k kernels on 1/p of the channels.

    The other channels get 1x1 kernels at the window's centre, so the layer has ``in * out * (k^2 / p + 1 - 1/p)``
    weights and as many multiply-adds per position. As in the authors' efficient code the filters are sorted into p
    groups, each with its k x k kernels on one block of channels (the paper's shifted order up to a permutation): a
    grouped convolution plus a 1x1 convolution that is zero on those blocks and stored without them.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias_attr: as nn.Conv2D; kernel_size is odd.
        groups: must be 1, the layer groups by p.
        p: part, at least 2; must divide both channel counts.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, OH, OW] as nn.Conv2D.

    Raises:
        ValueError: p does not divide the channels, groups other than 1, or an even kernel.
    """

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
        p: int = 4,
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels)
        if as_size(groups, "groups") != 1:
            raise ValueError(f"HetConv2D groups its channels by p: groups must be 1, got {groups}")
        as_size(p, "HetConv2D: p", minimum=2, note=" (1 is the plain convolution)")
        if in_channels % p or out_channels % p:
            raise ValueError(
                f"HetConv2D: p={p} must divide in_channels={in_channels} and out_channels={out_channels}, so that each "
                "filter has its k x k kernels on 1/p of the channels; choose another p or width"
            )
        self.in_channels, self.p = in_channels, p
        self.stride = pair(stride, "stride")
        self._margins = centre_margins(kernel_size, padding, dilation)
        self.gwc = Conv2D(in_channels, out_channels, kernel_size, stride, padding, dilation, p, bias_attr)
        shape = [out_channels, in_channels - in_channels // p, 1, 1]
        self.pointwise = self.create_parameter(shape, attr=kaiming_fan_out(shape))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.in_channels, "HetConv2D")
        pointwise = conv2d(window_centres(x, self._margins), self.pointwise_weight(), stride=self.stride)
        return self.gwc(x) + pointwise

    def pointwise_weight(self) -> Tensor:
        """[out, in, 1, 1] weight of the 1x1 convolution, with zeros where the k x k kernels are."""
        width = self.in_channels // self.p
        own = paddle.zeros([self.pointwise.shape[0] // self.p, width, 1, 1], self.pointwise.dtype)
        groups = []
        for group, rows in enumerate(paddle.split(self.pointwise, self.p, axis=0)):
            groups.append(paddle.concat([rows[:, : group * width], own, rows[:, group * width :]], axis=1))
        return paddle.concat(groups, axis=0)

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of the 1x1 kernels (their zeros not counted)."""
        return outputs.size * (self.in_channels - self.in_channels // self.p)
