"""The octave ResNet: pairs of feature groups flow inside, a tensor goes in and comes out."""

from __future__ import annotations

from typing import Any

from paddle import Tensor, nn

from ..layers import OctConvBNAct, octave_merge
from ..layers.octave import Pair
from .resnet import ResNet


class OctaveBlock(nn.Layer):
    """Residual block whose every convolution, the projection shortcut too, is an OctConv (Sec. 4.1 of the paper).

    Args:
        convs: (in_channels, out_channels, kernel_size, stride, alpha_in, alpha_out) of each main convolution.
        project: (in_channels, out_channels, stride, alpha_in, alpha_out) of the shortcut, or None for the identity.
        dilation, first_dilation: of the 3x3 convolutions, and of the first convolution if it differs.
    """

    def __init__(
        self, convs: list[tuple], project: tuple | None, dilation: int = 1, first_dilation: int | None = None
    ) -> None:
        super().__init__()
        self.depth = len(convs)
        for i, (cin, cout, kernel, stride, alpha_in, alpha_out) in enumerate(convs, start=1):
            step = (first_dilation or dilation if i == 1 else dilation) if kernel > 1 else 1
            conv = OctConvBNAct(
                cin,
                cout,
                kernel,
                alpha_in=alpha_in,
                alpha_out=alpha_out,
                stride=stride,
                padding=step * (kernel // 2),
                dilation=step,
            )
            self.add_sublayer(f"conv{i}", conv)
        self.downsample = None
        if project is not None:
            cin, cout, stride, alpha_in, alpha_out = project
            conv = OctConvBNAct(cin, cout, 1, act=False, alpha_in=alpha_in, alpha_out=alpha_out, stride=stride)
            self.downsample = nn.Sequential(conv)

    def forward(self, x: Tensor | Pair) -> Pair:
        y = x
        for i in range(1, self.depth):
            y = getattr(self, f"conv{i}")(y)
        if self.downsample is not None:
            x = self.downsample(x)
        last = getattr(self, f"conv{self.depth}")
        return last(y, residual=x if isinstance(x, tuple) else (x, None))


class OctaveResNet(ResNet):
    """ResNet with OctConv in all stages but the last, which is high-frequency only (alpha_out = 0).

    The stem is plain; the first block of stage 1 has alpha_in = 0; only full resolution reaches the classifier. With
    ``features_only`` a stage's map is its high group concatenated with its upsampled low group, so widths and sizes are
    those of the plain ResNet. For ResNet-18/34 and CIFAR nets, which the paper does not cover, the same rule applies.

    Arguments are those of `ResNet`; ``method_kwargs`` holds alpha, the share of low-frequency channels in [0, 1).
    """

    def _plan_blocks(self, bottleneck: bool, method: str, kwargs: dict[str, Any]) -> None:
        alpha = kwargs.get("alpha", 0.5)
        if not 0 <= alpha < 1:
            # at alpha 1 no full-resolution group is left for the last stage to build on
            raise ValueError(f"octave networks need alpha in [0, 1), got {alpha!r}")
        super()._plan_blocks(bottleneck, "plain", {})
        self._new_deformable_block = None
        self._alpha = alpha

    def _make_block(self, stage: int, position: int, channels: int, stride: int = 1, **dilations: int) -> nn.Layer:
        last = stage == self.stages
        alpha_out = 0.0 if last else self._alpha
        alpha_in = 0.0 if (stage == 1 and position == 0) or (last and position > 0) else self._alpha
        width, out = self._width, channels * self._expansion
        if self._expansion == 1:
            convs = [(width, out, 3, stride, alpha_in, alpha_out), (out, out, 3, 1, alpha_out, alpha_out)]
        else:
            convs = [
                (width, channels, 1, 1, alpha_in, alpha_out),
                (channels, channels, 3, stride, alpha_out, alpha_out),
                (channels, out, 1, 1, alpha_out, alpha_out),
            ]
        fits = stride == 1 and width == out and alpha_in == alpha_out
        return OctaveBlock(convs, None if fits else (width, out, stride, alpha_in, alpha_out), **dilations)

    def _zero_last_norms(self) -> None:
        for stage in range(1, self.stages + 1):
            for block in getattr(self, f"layer{stage}"):
                conv = getattr(block, f"conv{block.depth}")
                for norm in (conv.bn_h, conv.bn_l):
                    if norm is not None:
                        norm.weight.set_value(norm.weight * 0)

    def _feature_map(self, x: Pair) -> Tensor:
        return octave_merge(x)
