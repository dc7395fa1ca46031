"""The octave ResNet: pairs of feature groups flow inside, a tensor goes in and comes out."""

from __future__ import annotations

from typing import Any

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..layers import OctaveSqueezeExcitation, OctConvBNAct, octave_add, octave_map, octave_merge
from ..layers.norm import BatchNorm2D
from ..layers.octave import Pair, lone_group
from .blocks import Variant
from .resnet import ResNet


class OctaveBlock(nn.Layer):
    """Residual block whose every convolution, the projection shortcut too, is an OctConv (Sec. 4.1 of the paper).

    Args:
        convs: (in_channels, out_channels, kernel_size, stride, alpha_in, alpha_out) of each main convolution.
        project: (in_channels, out_channels, stride, alpha_in, alpha_out) of the shortcut, or None for the identity.
        dilation, first_dilation: of the 3x3 convolutions, and of the first convolution if it differs.
        groups: of the 3x3 convolutions.
    """

    def __init__(
        self,
        convs: list[tuple],
        project: tuple | None,
        dilation: int = 1,
        first_dilation: int | None = None,
        groups: int = 1,
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
                groups=groups if kernel > 1 else 1,
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
        return last(y, residual=x if isinstance(x, (tuple, list)) else (x, None))


class OctaveSEBlock(OctaveBlock):
    """OctaveBlock whose channels are gated before the sum with the shortcut; arguments as there.

    Args:
        input_norm: a normalisation without parameters before the first convolution and the projection, as in the
            authors' v1e and v1f with squeeze-and-excitation.
    """

    def __init__(self, convs: list[tuple], project: tuple | None, input_norm: bool = False, **kwargs: int) -> None:
        super().__init__(convs, project, **kwargs)
        self.conv3.act = False  # ReLU follows the sum, which this block does itself
        self.se = OctaveSqueezeExcitation(sum(self.conv3.conv.out_split), convs[-1][-1])
        self.norm = _affine_free_norms(self.conv1.conv.in_split) if input_norm else None
        self.norm_downsample = None
        if input_norm and project is not None:
            self.norm_downsample = _affine_free_norms(self.conv1.conv.in_split)

    def forward(self, x: Tensor | Pair) -> Pair:
        x = x if isinstance(x, (tuple, list)) else (x, None)
        y, skip = _normalise(self.norm, x), x
        for conv in (self.conv1, self.conv2, self.conv3):
            y = conv(lone_group(y))
        if self.downsample is not None:
            skip = self.downsample(lone_group(_normalise(self.norm_downsample, x)))
        return octave_map(F.relu, octave_add(self.se(y), skip))


def _affine_free_norms(split: tuple[int, int]) -> nn.LayerList:
    """A BatchNorm without parameters for each group that exists: high, low."""
    return nn.LayerList([BatchNorm2D(width, weight_attr=False, bias_attr=False) for width in split if width])


def _normalise(norms: nn.LayerList | None, x: Pair) -> Pair:
    if norms is None:
        return x
    high, low = x
    return norms[0](high), None if low is None else norms[1](low)


class OctaveResNet(ResNet):
    """ResNet with OctConv in all stages but the last, which is high-frequency only (alpha_out = 0).

    The stem is plain; the first block of stage 1 has alpha_in = 0; only full resolution reaches the classifier. With
    ``features_only`` a stage's map is its high group concatenated with its upsampled low group, so widths and sizes are
    those of the plain ResNet. For ResNet-18/34 and CIFAR nets, which the paper does not cover, the same rule applies.

    Arguments are those of `ResNet`; ``method_kwargs`` holds alpha, the share of low-frequency channels in [0, 1).
    """

    def _plan_blocks(self, bottleneck: bool, method: str, kwargs: dict[str, Any], variant: Variant) -> None:
        alpha = kwargs.get("alpha", 0.5)
        if not 0 <= alpha < 1:
            # at alpha 1 no full-resolution group is left for the last stage to build on
            raise ValueError(f"octave networks need alpha in [0, 1), got {alpha!r}")
        variant.refuse(("pooled_shortcut",) if bottleneck else tuple(vars(variant)), "OctaveResNet")
        super()._plan_blocks(bottleneck, "plain", {}, Variant())
        self._new_deformable_block = None
        self._alpha, self._variant = alpha, variant

    def _make_block(self, stage: int, position: int, channels: int, stride: int = 1, **dilations: int) -> nn.Layer:
        last = stage == self.stages
        alpha_out = 0.0 if last else self._alpha
        alpha_in = 0.0 if (stage == 1 and position == 0) or (last and position > 0) else self._alpha
        width, out, variant = self._width, channels * self._expansion, self._variant
        if self._expansion == 1:
            convs = [(width, out, 3, stride, alpha_in, alpha_out), (out, out, 3, 1, alpha_out, alpha_out)]
        else:
            inner, (first, last) = variant.width(channels), ((1, stride) if variant.stride_last else (stride, 1))
            convs = [
                (width, inner, 1, 1, alpha_in, alpha_out),
                (inner, inner, 3, first, alpha_out, alpha_out),
                (inner, out, 1, last, alpha_out, alpha_out),
            ]
        fits = stride == 1 and width == out and alpha_in == alpha_out
        project = None if fits else (width, out, stride, alpha_in, alpha_out)
        if variant.squeeze:
            return OctaveSEBlock(convs, project, variant.input_norm, groups=variant.groups, **dilations)
        return OctaveBlock(convs, project, groups=variant.groups, **dilations)

    def _zero_last_norms(self) -> None:
        for stage in range(1, self.stages + 1):
            for block in getattr(self, f"layer{stage}"):
                conv = getattr(block, f"conv{block.depth}")
                for norm in (conv.bn_h, conv.bn_l):
                    if norm is not None:
                        nn.initializer.Constant(0.0)(norm.weight)

    def _feature_map(self, x: Pair) -> Tensor:
        return octave_merge(x)
