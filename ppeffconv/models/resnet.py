"""One ResNet for every depth and every convolution that maps a tensor to a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from paddle import Tensor, nn

from ..layers import DeformableSampledBottleneck, SampledBasicBlock, SampledBottleneck, auxiliary_losses
from ..layers.conv import fan_in_uniform
from ..layers.norm import BatchNorm2D, norm_act
from ..ops.primitives import global_mean
from ..utils.numbers import as_size
from .blocks import BasicBlock, Bottleneck, ConvSlots, DeformableBottleneck, SEBottleneck, Variant
from .stems import build_stem


class ResNet(nn.Layer):
    """ResNet v1b with a conv slot: [N, in_channels, H, W] -> logits [N, num_classes], or a list of feature maps.

    Args:
        depths: blocks per stage; four stages (ImageNet) or three (CIFAR).
        bottleneck: Bottleneck blocks instead of BasicBlock.
        method: what fills the slot (see `layers.build_conv`), or "sampled" for blocks with stochastic sampling.
        method_kwargs: the method's own arguments.
        stem: "imagenet" (7x7 stride 2 and max pooling), "cifar" (3x3), "deep" or "deep_v1f" (see `stems.build_stem`).
        width: channels of the first stage.
        num_classes, in_channels: of the classifier and the images.
        output_stride: 32, 16 or 8; the stages beyond keep their resolution and are dilated instead.
        features_only: return the feature maps of the stages in ``out_indices`` (1-based) and build no classifier.
        zero_init_residual: start each block's last BatchNorm at 0.
        deformable: make the 3x3 convolutions of the stages after the first deformable; for bottleneck blocks, plain or
            sampled.
        variant: what the bottleneck blocks have beyond the first ResNet's (groups, squeeze-and-excitation, ...).

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
        variant: Variant | None = None,
    ) -> None:
        super().__init__()
        self.out_indices = check_stages(depths, out_indices, features_only)
        self.features_only, self.stages = features_only, len(depths)
        self._plan_blocks(bottleneck, method, method_kwargs or {}, variant or Variant())
        self._deformable = _check_deformable(deformable, self._new_deformable_block)
        stem_stride = self._build_stem(stem, in_channels, width)
        # (channels, stride) of each stage's output
        maps = self._build_stages(depths, width, stem_stride, _check_output_stride(output_stride, stem))
        self.feature_channels, self.feature_strides = zip(*(maps[i - 1] for i in self.out_indices))
        self.fc = None if features_only else classifier(maps[-1][0], num_classes)
        if zero_init_residual:
            self._zero_last_norms()

    def _plan_blocks(self, bottleneck: bool, method: str, kwargs: dict[str, Any], variant: Variant) -> None:
        deformable = None
        variant.refuse(("stride_last", "input_norm"), "ResNet")
        if method == "sampled" or not bottleneck:
            variant.refuse(tuple(vars(variant)), f"ResNet of {'sampled' if bottleneck else 'basic'} blocks")
        if method == "sampled":
            self._slots = ConvSlots()
            self._new_block = partial(SampledBottleneck if bottleneck else SampledBasicBlock, **kwargs)
            deformable = partial(DeformableSampledBottleneck, **kwargs)
        else:
            if method == "ddf" and not bottleneck:
                method = "ddf_separable"  # a BasicBlock has no 1x1 convolutions, and DDF alone would mix no channels
            self._slots = ConvSlots(method, **kwargs)
            self._new_block = partial(BasicBlock, self._slots)
            if bottleneck:
                self._new_block = partial(SEBottleneck if variant.squeeze else Bottleneck, self._slots, variant=variant)
            if method == "plain" and variant == Variant():
                deformable = partial(DeformableBottleneck, self._slots)
        self._new_deformable_block = deformable if bottleneck else None
        self._expansion = 4 if bottleneck else 1

    def _build_stem(self, stem: str, in_channels: int, width: int) -> int:
        self.conv1, pool, stride = build_stem(stem, self._slots, in_channels, width)
        self.bn1 = BatchNorm2D(width)
        self.maxpool = pool
        return stride

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
                nn.initializer.Constant(0.0)(last.weight)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        x = norm_act(self.bn1, self.conv1(x))
        if self.maxpool is not None:
            x = self.maxpool(x)
        features = []
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
            if self.features_only and stage in self.out_indices:
                features.append(self._feature_map(x))
        return features if self.features_only else self.fc(global_mean(self._feature_map(x)).squeeze([2, 3]))

    def _feature_map(self, x: Tensor) -> Tensor:
        return x

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Extra losses that the layers offer after a training forward, by name (see `layers.auxiliary_losses`)."""
        return auxiliary_losses(self)


def classifier(channels: int, num_classes: int) -> nn.Linear:
    """The fully connected layer, initialised as in the authors' framework; ValueError for a bad class count."""
    as_size(num_classes, "num_classes")
    uniform = fan_in_uniform(channels)
    return nn.Linear(channels, num_classes, weight_attr=uniform, bias_attr=uniform)


def check_stages(stages: Sequence[Any], out_indices: Sequence[int] | None, features_only: bool) -> tuple[int, ...]:
    """Numbers of the stages whose maps are asked for, out of 1 to len(stages); ValueError for what is none of them."""
    stages = tuple(range(1, len(stages) + 1))
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
