"""Video networks: ResNet-50 over frames (C2D) and inflated in time (I3D), plain or with octave convolution."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..layers import OctConv3DBNAct, octave_add, octave_map
from ..layers.octave import Pair
from ..layers.octave3d import Conv3D
from .resnet import classifier

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Channels, blocks and stride of each stage."""
INFLATED = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
"""Blocks whose first convolution sees three frames."""


class I3D(nn.Layer):
    """I3D with ResNet-50, of arXiv 1711.07971 (Sec. 4.1): [N, in_channels, T, H, W] -> logits [N, num_classes].

    Every second 1x1 convolution at a block's entry becomes 3x1x1 and the stem 5x7x7. As in the authors' code, the
    pooling of the stem is not padded (112 pixels become 55), and half of the frames go behind the first stage. The
    octave network (arXiv 1904.05049, Sec. 4.4) follows the rule of `OctaveResNet`, and its low-frequency groups have
    half the height and width: time is left as it is.

    Args:
        alpha: share of low-frequency channels in [0, 1), None for the plain network.
        inflated: False for C2D, whose convolutions see single frames.
        num_classes, in_channels: of the classifier and the frames.

    Attributes:
        frames: of a clip in the paper; any number of at least two will do.

    Raises:
        ValueError: alpha out of range, or an input that is no video of at least two frames.
    """

    frames = 8

    def __init__(
        self, alpha: float | None = None, inflated: bool = True, num_classes: int = 1000, in_channels: int = 3
    ) -> None:
        super().__init__()
        if alpha is not None and not 0 <= alpha < 1:
            raise ValueError(f"octave networks need alpha in [0, 1), got {alpha!r}")
        frames = 5 if inflated else 1
        self.in_channels = in_channels
        self.conv1 = Conv3D(in_channels, 64, (frames, 7, 7), (1, 2, 2), (frames // 2, 3, 3))
        self.bn1 = nn.BatchNorm3D(64)
        width = 64
        for number, ((channels, depth, stride), inflation) in enumerate(zip(STAGES, INFLATED), start=1):
            last, blocks = number == len(STAGES), []
            for position in range(depth):
                alphas = None
                if alpha is not None:
                    low_in = 0.0 if (number == 1 and position == 0) or (last and position > 0) else alpha
                    alphas = low_in, 0.0 if last else alpha
                kernel = 3 if inflated and inflation[position] else 1
                blocks.append(VideoBottleneck(width, channels, stride if position == 0 else 1, kernel, alphas))
                width = channels * VideoBottleneck.expansion
            self.add_sublayer(f"layer{number}", nn.Sequential(*blocks))
        self.dropout = nn.Dropout(0.5)
        self.fc = classifier(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[1] != self.in_channels or x.shape[2] < 2:
            expected = f"[N, {self.in_channels}, T, H, W] with at least two frames"
            raise ValueError(f"I3D expects input {expected}, got {list(x.shape)}")
        x = F.relu(self.bn1(self.conv1(x)))
        pair = self.layer1((F.max_pool3d(x, (1, 3, 3), (1, 2, 2)), None))
        pair = octave_map(lambda group: F.max_pool3d(group, (2, 1, 1), (2, 1, 1)), pair)
        high, _ = self.layer4(self.layer3(self.layer2(pair)))
        return self.fc(self.dropout(high.mean([2, 3, 4])))

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """No layer here offers any: {}."""
        return {}


class VideoBottleneck(nn.Layer):
    """Kx1x1, 1x3x3 with the stride, 1x1x1, and the shortcut: pair -> pair; without ``alphas`` the low group is None.

    Args:
        frames: K, how many frames the first convolution sees.
        alphas: shares of low-frequency channels of input and output, None for plain convolutions.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int, frames: int, alphas: tuple[float, float] | None
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        inner = None if alphas is None else (alphas[1], alphas[1])
        self.conv1 = _unit(in_channels, channels, (frames, 1, 1), 1, alphas)
        self.conv2 = _unit(channels, channels, (1, 3, 3), stride, inner)
        self.conv3 = _unit(channels, out_channels, (1, 1, 1), 1, inner, act=False)
        fits = stride == 1 and in_channels == out_channels and (alphas is None or alphas[0] == alphas[1])
        self.downsample = None if fits else _unit(in_channels, out_channels, (1, 1, 1), stride, alphas, act=False)

    def forward(self, x: Pair) -> Pair:
        y = self.conv3(self.conv2(self.conv1(x)))
        return octave_map(F.relu, octave_add(y, x if self.downsample is None else self.downsample(x)))


class ConvBNAct3D(nn.Layer):
    """A plain convolution, BatchNorm and (optionally) ReLU of a pair without a low group."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: tuple[int, int, int], stride: int, act: bool
    ) -> None:
        super().__init__()
        padding = tuple(size // 2 for size in kernel_size)
        self.conv = Conv3D(in_channels, out_channels, kernel_size, (1, stride, stride), padding)
        self.bn = nn.BatchNorm3D(out_channels)
        self.act = act

    def forward(self, x: Pair) -> Pair:
        y = self.bn(self.conv(x[0]))
        return (F.relu(y) if self.act else y), None


def _unit(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, int, int],
    stride: int,
    alphas: tuple[float, float] | None,
    act: bool = True,
) -> nn.Layer:
    if alphas is None:
        return ConvBNAct3D(in_channels, out_channels, kernel_size, stride, act)
    places = {"alpha_in": alphas[0], "alpha_out": alphas[1], "stride": stride}
    return OctConv3DBNAct(in_channels, out_channels, kernel_size, act=act, **places)
