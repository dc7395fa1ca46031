"""One ResNet for every depth and every convolution that maps a tensor to a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from paddle import Tensor, nn

from ..layers import (
    DeformableConv2D,
    DeformableSampledBottleneck,
    SampledBasicBlock,
    SampledBottleneck,
    auxiliary_losses,
    build_conv,
)
from ..layers.conv import Conv2D, fan_in_uniform
from ..layers.deformable import offset_branch
from ..layers.norm import BatchNorm2D, norm_act
from ..ops.primitives import global_mean


class ConvSlots:
    """Which convolutions of a residual block a method replaces.

    Every method takes the k x k slots. Versatile filters also take the stem, and with delta > 0 the 1x1 convolutions of
    the blocks (the papers' v1 and v2); all others leave those plain.

    Args:
        bias_attr: of the convolutions that can have a bias; False where a BatchNorm follows.
        kwargs: the method's own arguments.
    """

    def __init__(self, method: str = "plain", bias_attr: bool | None = False, **kwargs: Any) -> None:
        self.method, self.bias_attr, self.kwargs = method, bias_attr, kwargs

    def spatial(self, in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Layer:
        """A 3x3 slot that keeps the size at stride 1."""
        return build_conv(
            self.method, in_channels, out_channels, 3, stride, dilation, dilation, 1, self.bias_attr, **self.kwargs
        )

    def pointwise(self, in_channels: int, out_channels: int, stride: int = 1) -> nn.Layer:
        """A 1x1 slot: block entry, exit or shortcut."""
        if self.method == "versatile" and self.kwargs.get("delta", 0):
            return build_conv("versatile", in_channels, out_channels, 1, stride, 0, bias_attr=False, **self.kwargs)
        return Conv2D(in_channels, out_channels, 1, stride)

    def stem(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Layer:
        """The first convolution."""
        if self.method in ("versatile", "learned_versatile"):
            spatial_only = {k: v for k, v in self.kwargs.items() if k not in ("delta", "g", "channel_mode")}
            return build_conv(
                self.method, in_channels, out_channels, kernel_size, stride, bias_attr=self.bias_attr, **spatial_only
            )
        return Conv2D(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias_attr=self.bias_attr)


def shortcut(slots: ConvSlots, in_channels: int, out_channels: int, stride: int) -> nn.Layer | None:
    """The projection shortcut (1x1 and BN), or None where the identity fits."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(slots.pointwise(in_channels, out_channels, stride), BatchNorm2D(out_channels))


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions, both in the slot: [N, in, H, W] -> [N, channels, OH, OW].

    Args:
        stride: of the first one.
        dilation: of both, unless ``first_dilation`` says otherwise for the first one.
    """

    expansion = 1

    def __init__(
        self,
        slots: ConvSlots,
        in_channels: int,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = slots.spatial(in_channels, channels, stride, first_dilation or dilation)
        self.bn1 = BatchNorm2D(channels)
        self.conv2 = slots.spatial(channels, channels, 1, dilation)
        self.bn2 = BatchNorm2D(channels)
        self.downsample = shortcut(slots, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        return norm_act(self.bn2, self.conv2(y), x if self.downsample is None else self.downsample(x))


class Bottleneck(nn.Layer):
    """1x1, 3x3 in the slot (which carries the stride), 1x1: [N, in, H, W] -> [N, 4 * channels, OH, OW]."""

    expansion = 4

    def __init__(self, slots: ConvSlots, in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = slots.pointwise(in_channels, channels)
        self.bn1 = BatchNorm2D(channels)
        self.conv2 = slots.spatial(channels, channels, stride, dilation)
        self.bn2 = BatchNorm2D(channels)
        self.conv3 = slots.pointwise(channels, out_channels)
        self.bn3 = BatchNorm2D(out_channels)
        self.downsample = shortcut(slots, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        y = norm_act(self.bn2, self.conv2(y))
        return norm_act(self.bn3, self.conv3(y), x if self.downsample is None else self.downsample(x))


class DeformableBottleneck(Bottleneck):
    """Bottleneck with a deformable 3x3 convolution, whose offsets come from the block's input: the sampling article's
    dense baseline for detection.
    """

    def __init__(self, slots: ConvSlots, in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(slots, in_channels, channels, stride, dilation)
        self.conv2 = DeformableConv2D(channels, channels, stride, dilation)
        self.conv2_offset = offset_branch(in_channels, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_act(self.bn1, self.conv1(x))
        y = norm_act(self.bn2, self.conv2(y, self.conv2_offset(x)))
        return norm_act(self.bn3, self.conv3(y), x if self.downsample is None else self.downsample(x))


class ResNet(nn.Layer):
    """ResNet v1b with a conv slot: [N, in_channels, H, W] -> logits [N, num_classes], or a list of feature maps.

    Args:
        depths: blocks per stage; four stages (ImageNet) or three (CIFAR).
        bottleneck: Bottleneck blocks instead of BasicBlock.
        method: what fills the slot (see `layers.build_conv`), or "sampled" for blocks with stochastic sampling.
        method_kwargs: the method's own arguments.
        stem: "imagenet" (7x7 stride 2 and max pooling) or "cifar" (3x3).
        width: channels of the first stage.
        num_classes, in_channels: of the classifier and the images.
        output_stride: 32, 16 or 8; the stages beyond keep their resolution and are dilated instead.
        features_only: return the feature maps of the stages in ``out_indices`` (1-based) and build no classifier.
        zero_init_residual: start each block's last BatchNorm at 0.
        deformable: make the 3x3 convolutions of the stages after the first deformable; for bottleneck blocks, plain or
            sampled.

    Attributes:
        feature_channels, feature_strides: of the maps in ``out_indices`` (or of all stages).

    Raises:
        ValueError: arguments out of range, or a slot that the method cannot fill.
    """

    def __init__(
        self,
        depths: Sequence[int],
        bottleneck: bool,
        method: str = "plain",
        method_kwargs: dict[str, Any] | None = None,
        stem: str = "imagenet",
        width: int = 64,
        num_classes: int = 1000,
        in_channels: int = 3,
        output_stride: int = 32,
        features_only: bool = False,
        out_indices: Sequence[int] | None = None,
        zero_init_residual: bool = False,
        deformable: bool = False,
    ) -> None:
        super().__init__()
        self.out_indices = _check_stages(depths, out_indices, features_only)
        self.features_only, self.stages = features_only, len(depths)
        self._plan_blocks(bottleneck, method, method_kwargs or {})
        self._deformable = _check_deformable(deformable, self._new_deformable_block)
        stem_stride = self._build_stem(stem, in_channels, width)
        # (channels, stride) of each stage's output
        maps = self._build_stages(depths, width, stem_stride, _check_output_stride(output_stride, stem))
        self.feature_channels, self.feature_strides = zip(*(maps[i - 1] for i in self.out_indices))
        self.fc = None if features_only else classifier(maps[-1][0], num_classes)
        if zero_init_residual:
            self._zero_last_norms()

    def _plan_blocks(self, bottleneck: bool, method: str, kwargs: dict[str, Any]) -> None:
        deformable = None
        if method == "sampled":
            self._slots = ConvSlots()
            self._new_block = partial(SampledBottleneck if bottleneck else SampledBasicBlock, **kwargs)
            deformable = partial(DeformableSampledBottleneck, **kwargs)
        else:
            if method == "ddf" and not bottleneck:
                method = "ddf_separable"  # a BasicBlock has no 1x1 convolutions, and DDF alone would mix no channels
            self._slots = ConvSlots(method, **kwargs)
            self._new_block = partial(Bottleneck if bottleneck else BasicBlock, self._slots)
            if method == "plain":
                deformable = partial(DeformableBottleneck, self._slots)
        self._new_deformable_block = deformable if bottleneck else None
        self._expansion = 4 if bottleneck else 1

    def _build_stem(self, stem: str, in_channels: int, width: int) -> int:
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"ResNet: stem must be 'imagenet' or 'cifar', got {stem!r}")
        kernel_size, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = self._slots.stem(in_channels, width, kernel_size, stride)
        self.bn1 = BatchNorm2D(width)
        self.maxpool = nn.MaxPool2D(3, 2, 1) if stem == "imagenet" else None
        return 4 if stem == "imagenet" else 1

    def _build_stages(self, depths: Sequence[int], width: int, stride: int, limit: int) -> list[tuple[int, int]]:
        self._width, dilation, maps = width, 1, []
        for stage, depth in enumerate(depths, start=1):
            step, first_dilation = (1 if stage == 1 else 2), dilation
            if stride * step > limit:
                step, dilation = 1, dilation * 2
            stride *= step
            blocks = self._stage(stage, depth, width * 2 ** (stage - 1), step, first_dilation, dilation)
            self.add_sublayer(f"layer{stage}", blocks)
            maps.append((self._width, stride))
        return maps

    def _stage(
        self, stage: int, depth: int, channels: int, stride: int, first_dilation: int, dilation: int
    ) -> nn.Sequential:
        """Where a stride was taken out, all that lies behind it is dilated: its own convolution is not yet."""
        first = {"stride": stride, "dilation": first_dilation}
        if self._expansion == 1:
            first.update(dilation=dilation, first_dilation=first_dilation)
        blocks = []
        for position in range(depth):
            place = first if position == 0 else {"dilation": dilation}
            blocks.append(self._make_block(stage, position, channels, **place))
            self._width = channels * self._expansion
        return nn.Sequential(*blocks)

    def _make_block(self, stage: int, position: int, channels: int, **place: int) -> nn.Layer:
        new = self._new_deformable_block if self._deformable and stage > 1 else self._new_block
        return new(self._width, channels, **place)

    def _zero_last_norms(self) -> None:
        for stage in range(1, self.stages + 1):
            for block in getattr(self, f"layer{stage}"):
                last = getattr(block, "bn3", None) or block.bn2
                last.weight.set_value(last.weight * 0)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        x = norm_act(self.bn1, self.conv1(x))
        if self.maxpool is not None:
            x = self.maxpool(x)
        features = []
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
            if self.features_only and stage in self.out_indices:
                features.append(self._feature_map(x))
        return features if self.features_only else self.fc(global_mean(self._feature_map(x)).flatten(1))

    def _feature_map(self, x: Tensor) -> Tensor:
        return x

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Extra losses that the layers offer after a training forward, by name (see `layers.auxiliary_losses`)."""
        return auxiliary_losses(self)


def classifier(channels: int, num_classes: int) -> nn.Linear:
    """The fully connected layer, initialised as in the authors' framework; ValueError for a bad class count."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a positive integer, got {num_classes!r}")
    uniform = fan_in_uniform(channels)
    return nn.Linear(channels, num_classes, weight_attr=uniform, bias_attr=uniform)


def _check_stages(depths: Sequence[int], out_indices: Sequence[int] | None, features_only: bool) -> tuple[int, ...]:
    stages = tuple(range(1, len(depths) + 1))
    if out_indices is None:
        return stages
    if not features_only:
        raise ValueError("out_indices chooses feature maps: give features_only=True with it")
    if not out_indices or any(i not in stages for i in out_indices) or list(out_indices) != sorted(set(out_indices)):
        raise ValueError(f"out_indices must be increasing stage numbers out of {stages}, got {tuple(out_indices)}")
    return tuple(out_indices)


def _check_output_stride(output_stride: int, stem: str) -> int:
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride!r}")
    if stem == "cifar" and output_stride != 32:
        raise ValueError("output_stride applies to nets with the ImageNet stem; a CIFAR net already ends at stride 4")
    return output_stride


def _check_deformable(deformable: bool, block: Callable[..., nn.Layer] | None) -> bool:
    if deformable and block is None:
        raise ValueError(
            "deformable convolutions are offered for networks of bottleneck blocks, plain or sampled (resnet50, "
            "sampled_resnet50, resnet101, ...); leave deformable=False"
        )
    return bool(deformable)
