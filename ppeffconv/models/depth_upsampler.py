"""Joint depth upsampling: DDF-Up-Net (arXiv 2104.14107, Sec. 4.3 and Fig. 6b), and the same net with a plain join."""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.jit import not_to_static

from ..layers import DDFUpsample2D
from ..layers.conv import Conv2D, check_input
from ..ops.primitives import shape_of

SCALES = (2, 4, 8, 16)
JOINS = ("ddf", "plain")
IMAGE_CHANNELS = 3  # before the depth in what the network takes


class JointUpNet(nn.Layer):
    """Upsamples a depth map with a colour image of the target size as the guide.

    The paper shows the network in a figure only and its code was never released. **This is our reconstruction**, on the
    layout of PAC-Net, which the paper says it follows: a depth encoder on the low resolution and a guide encoder on the
    high one, three 5x5 convolutions each; log2(scale) upsamplings by 2, each guided by 16 channels of the guide encoder
    of its own, which are resized to the upsampling's input; two 5x5 convolutions. The depth is mapped to [0, 1] by its
    own minimum and maximum, and back.

    Args:
        scale: 2, 4, 8 or 16.
        channels: width of both encoders and of the features that are upsampled.
        guide_channels: of the guide, for each upsampling.
        join: "ddf" for `DDFUpsample2D`, the paper's; "plain" for a 3x3 convolution of features and guide side by side
            and a pixel shuffle, to compare with.
        mode, se_ratio: of `DDFUpsample2D`.

    Shapes:
        [N, 4, H, W] (red, green and blue in [0, 1]; the low-resolution depth, each value repeated over its
        scale x scale pixels) -> depth [N, 1, H, W] in the unit of the input. Any H and W; see `upsample` for two
        arguments.

    Raises:
        ValueError: an argument out of range, or an input of another shape.
    """

    in_channels = IMAGE_CHANNELS + 1

    def __init__(
        self,
        scale: int = 4,
        channels: int = 32,
        guide_channels: int = 16,
        join: str = "ddf",
        mode: str = "mul",
        se_ratio: float = 0.2,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(map(str, SCALES))}, got {scale!r}")
        if join not in JOINS:
            raise ValueError(f"join must be one of {', '.join(JOINS)}, got {join!r}")
        self.scale = scale
        steps = int(math.log2(scale))
        self.depth_encoder = _encoder(1, channels, channels)
        self.guide_encoder = _encoder(IMAGE_CHANNELS, channels, guide_channels * steps)
        if join == "ddf":
            joins = [DDFUpsample2D(channels, 2, guide_channels, mode=mode, se_ratio=se_ratio) for _ in range(steps)]
        else:
            joins = [PlainJoin(channels, guide_channels) for _ in range(steps)]
        self.joins = nn.LayerList(joins)
        self.decoder = nn.Sequential(_conv(channels, channels), nn.ReLU(), _conv(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.in_channels, "JointUpNet")
        return self.upsample(*split_input(x, self.scale))

    def upsample(self, depth: Tensor, guide: Tensor) -> Tensor:
        """Return the depth at the guide's size.

        Args:
            depth: [N, 1, h, w] with h = ceil(H / scale), w = ceil(W / scale), in any unit.
            guide: [N, 3, H, W] in [0, 1].
        """
        check_input(depth, 1, "JointUpNet (depth)")
        check_input(guide, IMAGE_CHANNELS, "JointUpNet (guide)")
        self._check_sizes(depth, guide)
        height, width = shape_of(guide)[2:]
        nearest, span = depth_range(depth)
        features = self.depth_encoder((depth - nearest) / span)
        guide = _extend(guide, depth, self.scale)
        parts = paddle.split(self.guide_encoder(guide), len(self.joins), axis=1)
        for join, part in zip(self.joins, parts):
            part = F.interpolate(part, shape_of(features)[2:], mode="bilinear", align_corners=False)
            features = F.relu(join(features, part))
        return self.decoder(features)[:, :, :height, :width] * span + nearest

    @not_to_static  # while a graph is traced no size is known
    def _check_sizes(self, depth: Tensor, guide: Tensor) -> None:
        got, size = depth.shape[2:], guide.shape[2:]
        needed = [-(-side // self.scale) for side in size]
        if min(*got, *size) >= 0 and list(got) != needed:
            raise ValueError(
                f"a guide of {size[0]}x{size[1]} needs a depth map of {needed[0]}x{needed[1]} for scale {self.scale}, "
                f"got {got[0]}x{got[1]}"
            )


class PlainJoin(nn.Layer):
    """Upsampling by 2 by a plain convolution of features and guide: what DDF-Up is compared with.

    Shapes:
        x: [N, C, h, w]; guide: [N, guide_channels, h, w] -> [N, C, 2 * h, 2 * w].
    """

    def __init__(self, channels: int, guide_channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels + guide_channels, 4 * channels, 3)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(paddle.concat([x, guide], axis=1)), 2)


def split_input(x: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Return the low-resolution depth [N, 1, h, w] and the guide [N, 3, H, W] of a network's input [N, 4, H, W]."""
    return x[:, IMAGE_CHANNELS:, ::scale, ::scale], x[:, :IMAGE_CHANNELS]


@not_to_static  # sizes that are known skip what others need
def _extend(guide: Tensor, depth: Tensor, scale: int) -> Tensor:
    """Repeat the guide's last row and column until it has ``scale`` times the depth's size."""
    for axis in (2, 3):
        side, wanted = guide.shape[axis], depth.shape[axis] * scale
        if side == wanted:
            continue
        if min(side, wanted) < 0:
            side, wanted = paddle.shape(guide)[axis], paddle.shape(depth)[axis] * scale
            last = side - 1
        else:
            last = paddle.to_tensor(side - 1)
        guide = guide.index_select(paddle.minimum(paddle.arange(wanted), last.astype("int64")), axis)
    return guide


def depth_range(depth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the minimum of each image and the way from it to the maximum, [N, 1, 1, 1] each; 1 if that is nothing."""
    nearest = depth.amin([1, 2, 3], keepdim=True)
    span = depth.amax([1, 2, 3], keepdim=True) - nearest
    return nearest, paddle.where(span > 0, span, paddle.ones_like(span))


def _encoder(in_channels: int, channels: int, out_channels: int) -> nn.Sequential:
    """Three 5x5 convolutions, with a ReLU after the first two."""
    return nn.Sequential(
        _conv(in_channels, channels), nn.ReLU(), _conv(channels, channels), nn.ReLU(), _conv(channels, out_channels)
    )


def _conv(in_channels: int, out_channels: int, kernel_size: int = 5) -> Conv2D:
    """A convolution that keeps the size, weights from U(+-1 / sqrt(fan_in)), as in PAC-Net's framework.

    Kaiming's fan-out would start a convolution of one output far too large.
    """
    conv = Conv2D(in_channels, out_channels, kernel_size, 1, kernel_size // 2, bias_attr=None)
    bound = 1 / math.sqrt(in_channels * kernel_size**2)
    nn.initializer.Uniform(-bound, bound)(conv.weight)
    return conv
