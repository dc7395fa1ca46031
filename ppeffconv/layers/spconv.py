"""SPConv2D: split the input, work hard on one part and lightly on the other, fuse by attention (arXiv 2006.12085)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..utils.numbers import is_number, is_size
from .arguments import layer_arguments
from .conv import Conv2D, check_channels, check_input, pair, square
from .norm import BatchNorm2D, norm_blend


class SPConv2D(nn.Layer):
    """Split convolution, a drop-in for a 3x3 convolution ("Split to Be Slim", IJCAI 2020, Sec. 3).

    The first int(ratio * in_channels) channels are representative: a 3x3 group-wise plus a 1x1 convolution. The rest
    are redundant: a 1x1 convolution. Each part has its BatchNorm; global average pooling and a softmax over the two
    parts weigh them per sample and channel. At stride 2 the 1x1 convolutions see 2x2 average-pooled inputs.

    Args:
        stride: 1 or 2.
        ratio: share of representative channels, in (0, 1); at least one channel goes to each part.
        groups: groups of the 3x3 convolution, lowered to the largest count that divides both its widths.
        dilation: of the 3x3 convolution (ours: the authors' code ignores it).
        pointwise_bias: bias of the 1x1 convolution of the redundant part, as in the authors' code; the BatchNorm behind
            it makes it redundant.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, ceil(H / stride), ceil(W / stride)]

    Raises:
        ValueError: fewer than 2 input channels, ratio outside (0, 1), stride other than 1 or 2.
    """

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        ratio: float = 0.5,
        groups: int = 2,
        dilation: int = 1,
        pointwise_bias: bool = True,
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels)
        if in_channels < 2:
            raise ValueError(f"SPConv2D splits its input and needs in_channels >= 2, got {in_channels}")
        if not is_number(ratio) or not 0 < ratio < 1:
            raise ValueError(f"SPConv2D: ratio must lie between 0 and 1 (both excluded), got {ratio!r}")
        stride = square(stride, "stride", "SPConv2D", largest=2)
        if not is_size(groups):
            raise ValueError(f"SPConv2D: groups must be a positive integer, got {groups!r}")
        dilation = pair(dilation, "dilation")
        self.in_channels, self.stride = in_channels, stride
        self.representative = min(max(int(ratio * in_channels), 1), in_channels - 1)
        widths = (self.representative, out_channels)
        self.groups = max(g for g in range(1, groups + 1) if not any(width % g for width in widths))

        self.gwc = Conv2D(self.representative, out_channels, 3, stride, dilation, dilation, self.groups)
        self.pwc = Conv2D(self.representative, out_channels, 1)
        self.conv1x1 = Conv2D(
            in_channels - self.representative, out_channels, 1, bias_attr=None if pointwise_bias else False
        )
        self.bn1 = BatchNorm2D(out_channels)
        self.bn2 = BatchNorm2D(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.in_channels, "SPConv2D")
        x3, x1 = paddle.split(x, [self.representative, self.in_channels - self.representative], axis=1)
        grouped = self.gwc(x3)
        if self.stride == 2:
            # ceil, so that odd sizes give what the strided 3x3 gives
            x3, x1 = (F.avg_pool2d(part, 2, 2, ceil_mode=True, exclusive=True) for part in (x3, x1))
        return norm_blend(self.bn1, grouped + self.pwc(x3), self.bn2, self.conv1x1(x1))
