"""Residual blocks with stochastic sampling and interpolation (arXiv 2003.08866)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn

from ..ops.precision import at_least_float32
from ..ops.sample_interpolate import kernel_interpolate, sample_interpolate
from ..utils.numbers import as_size
from .arguments import layer_arguments
from .conv import Conv2D, check_channels, check_input, square
from .decay import undecayed_attr
from .density import LastForward, density, density_report, kernels, macs_per_position, share
from .gumbel import GumbelSampler, set_eval_mode, set_temperature, temperature_at
from .norm import BatchNorm2D, norm_act

__all__ = [
    "GumbelSampler",
    "SampledBasicBlock",
    "SampledBottleneck",
    "density",
    "density_report",
    "set_eval_mode",
    "set_temperature",
    "temperature_at",
]

KERNELS = ("gaussian", "learned", "average")


class SampledBlock(nn.Layer):
    """What both blocks share: two masks predicted from the block's input, and filling in what they leave out.

    Args:
        in_channels: width of the block's input.
        mask_strides: strides of the two mask branches, so that each mask has its convolution's output size.
    """

    masked_convs: tuple[tuple[str, ...], tuple[str, ...]]
    """The convolutions that each of the two masks covers."""
    loss_weights: tuple[float, float]
    """Weights of the two masks in the sparse loss."""
    decisions = ("conv1_mask", "conv2_mask")
    undecayed = ("conv1_sigma", "conv2_sigma", "conv1_kernel", "conv2_kernel")

    def __init__(
        self,
        in_channels: int,
        mask_strides: tuple[int, int],
        window: int,
        grid_stride: int,
        kernel: str,
        interpolate: bool,
        sampling: str,
        eval_mode: str,
        backend: str,
    ) -> None:
        super().__init__()
        check_channels(in_channels, 1)
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")
        as_size(window, "window", odd=True)
        self.window = window
        self.kernel = kernel
        self.interpolate = interpolate
        self.backend = backend
        self.in_channels = in_channels
        self._mask_strides = mask_strides
        self._last = LastForward()
        for name, stride in zip(("conv1", "conv2"), mask_strides):
            self.add_sublayer(f"{name}_mask", _mask_branch(in_channels, stride))
            sampler = GumbelSampler(sampling=sampling, eval_mode=eval_mode, grid_stride=grid_stride)
            self.add_sublayer(f"{name}_gumbel", sampler)
            self._add_kernel(name)

    def _add_kernel(self, name: str) -> None:
        if not self.interpolate or self.kernel == "average":
            return
        if self.kernel == "gaussian":
            start = undecayed_attr(nn.initializer.Constant(3.0))
            self.add_parameter(f"{name}_sigma", self.create_parameter([1], attr=start))
        else:
            start = undecayed_attr(nn.initializer.Constant(1 / self.window**2))
            self.add_parameter(f"{name}_kernel", self.create_parameter([self.window, self.window], attr=start))

    def _sample(self, x: Tensor, noise: Sequence[Tensor] | None) -> tuple[Tensor, Tensor]:
        """Masks of conv1 and conv2, both predicted from the block's input."""
        check_input(x, self.in_channels, type(self).__name__)
        if noise is not None and len(noise) != 4:
            raise ValueError(f"noise must be four tensors (two for each mask, for p and 1 - p), got {len(noise)}")
        noise1, noise2 = (
            ((), ()) if noise is None else ((noise[:2],), (noise[2:],))
        )  # a wrapper around a sampler takes one input
        # in half precision the gradients of a nearly empty mask would overflow
        p1, p2 = (F.sigmoid(at_least_float32(branch(x))) for branch in (self.conv1_mask, self.conv2_mask))
        mask1, mask2 = self.conv1_gumbel(p1, *noise1), self.conv2_gumbel(p2, *noise2)
        w1, w2 = self.loss_weights
        self._last.record(
            sparse=w1 * p1.mean() + w2 * p2.mean(),
            densities=[share(mask1 >= 0.5), share(mask2 >= 0.5)],
            size=x.shape[2:],
        )
        return mask1, mask2

    def _fill(self, features: Tensor, mask: Tensor, name: str) -> Tensor:
        """Keep the sampled positions and interpolate the others (or leave them at 0)."""
        if not self.interpolate:
            return features * mask.astype(features.dtype).expand([-1, features.shape[1], -1, -1])
        if self.kernel == "gaussian":
            return sample_interpolate(features, mask, getattr(self, f"{name}_sigma"), self.window, self.backend)
        return kernel_interpolate(features, mask, getattr(self, f"{name}_kernel", None), self.window)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """{"sparse": weighted mean of the keep probabilities of the last forward}, {} before the first one."""
        return {"sparse": self._last["sparse"]} if self._last else {}

    def densities(self) -> list[Tensor]:
        """Share of sampled positions of conv1's and conv2's mask in the last forward; empty before the first one."""
        return self._last.get("densities", [])

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of interpolating densely, as the forward does: one per tap of the window and element."""
        if not self.interpolate:
            return 0
        positions = self._positions(*inputs.shape[2:])
        widths = (kernels(convs[0])[0].shape[0] for convs in self._masked())
        return inputs.shape[0] * self.window**2 * sum(c * n for c, n in zip(widths, positions))

    def expected_macs(self, densities: Sequence[float] | None) -> int:
        """Multiply-adds per image at the last forward's size if only a share of the positions were computed.

        The authors' accounting: convolutions at their density d, mask branches and shortcut dense, and, behind the
        last convolution of each mask, interpolation of a share 1 - d from a share d. None: the layer without masks.
        """
        positions = self._positions(*self._last["size"])
        dense = [n * sum(map(macs_per_position, convs)) for n, convs in zip(positions, self._masked())]
        macs = positions[1] * (0 if self.downsample is None else macs_per_position(self.downsample))
        if densities is None:
            return macs + sum(dense)
        macs += positions[0] * macs_per_position(self.conv1_mask) + positions[1] * macs_per_position(self.conv2_mask)
        macs += sum(d * m for d, m in zip(densities, dense))
        if self.interpolate:
            widths = (kernels(convs[-1])[0].shape[0] for convs in self._masked())
            filled = (c * n * d * (1 - d) for c, n, d in zip(widths, positions, densities))
            macs += self.window**2 * sum(filled)
        return round(macs)

    def _positions(self, height: int, width: int) -> list[int]:
        """Positions of the two masks for an input of this size."""
        return [math.ceil(height / stride) * math.ceil(width / stride) for stride in self._mask_strides]

    def _masked(self) -> list[list[nn.Layer]]:
        return [[getattr(self, name) for name in names] for names in self.masked_convs]


class SampledBottleneck(SampledBlock):
    """Bottleneck (1x1, 3x3, 1x1; expansion 4) computed at sampled positions; conv2 and conv3 share a mask.

    ``a = interp(relu(bn1(conv1 x)), M1)``, ``b = interp(relu(bn2(conv2 a)), M2)`` and ``y = relu(bn3(conv3 b) +
    shortcut)``, with M1 and M2 sampled from 3x3 convolutions of x. The forward is dense: it computes everything, then
    masks.

    Args:
        in_channels: width of the input; channels: width inside, the output has 4 * channels.
        stride: of conv2 and the shortcut.
        downsample: the shortcut; by default the identity, or a 1x1 convolution with BatchNorm where the shape changes.
        dilation: of conv2.
        window: side of the interpolation window; grid_stride: distance of the always sampled pixels, 0 for none.
        kernel: "gaussian" (learnable width), "learned" (|w|, one per mask) or "average"; interpolate=False leaves
            unsampled positions at 0.
        sampling, eval_mode: see `GumbelSampler`.
        backend: of `ppeffconv.ops.sample_interpolate`.

    Shapes:
        x: [N, in_channels, H, W] -> [N, 4 * channels, ceil(H / stride), ceil(W / stride)].
        noise: None or four uniform draws, (u1, u0) for M1 [N, 1, H, W] and (u1, u0) for M2 at the output's size.
    """

    expansion = 4
    masked_convs = (("conv1",), ("conv2", "conv3"))
    loss_weights = (0.25, 0.75)

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Layer | None = None,
        window: int = 7,
        grid_stride: int = 11,
        dilation: int = 1,
        kernel: str = "gaussian",
        interpolate: bool = True,
        sampling: str = "gumbel",
        eval_mode: str = "reference",
        backend: str = "auto",
    ) -> None:
        options = window, grid_stride, kernel, interpolate, sampling, eval_mode, backend
        name = type(self).__name__
        stride, dilation = square(stride, "stride", name), square(dilation, "dilation", name)
        super().__init__(in_channels, (1, stride), *options)
        out_channels = channels * self.expansion
        self.conv1 = Conv2D(in_channels, channels, 1)
        self.bn1 = BatchNorm2D(channels)
        self.conv2 = Conv2D(channels, channels, 3, stride, padding=dilation, dilation=dilation)
        self.bn2 = BatchNorm2D(channels)
        self.conv3 = Conv2D(channels, out_channels, 1)
        self.bn3 = BatchNorm2D(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride) if downsample is None else downsample

    def forward(self, x: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        mask1, mask2 = self._sample(x, noise)
        a = self._fill(norm_act(self.bn1, self.conv1(x)), mask1, "conv1")
        b = self._fill(norm_act(self.bn2, self.conv2(a)), mask2, "conv2")
        shortcut = x if self.downsample is None else self.downsample(x)
        return norm_act(self.bn3, self.conv3(b), shortcut)


class SampledBasicBlock(SampledBlock):
    """BasicBlock (3x3, 3x3; expansion 1) computed at sampled positions; a variant of ours, the paper's is unpublished.

    ``a = interp(relu(bn1(conv1 x)), M1)``, ``y = relu(interp(bn2(conv2 a), M2) + shortcut)``, both masks from x at the
    output's size. The two convolutions cost the same, so the sparse loss weighs their masks equally.

    Arguments and shapes as for `SampledBottleneck`, with ``channels`` the output's width; dilation is that of both
    convolutions, unless ``first_dilation`` says otherwise for conv1.
    """

    expansion = 1
    masked_convs = (("conv1",), ("conv2",))
    loss_weights = (0.5, 0.5)

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Layer | None = None,
        window: int = 7,
        grid_stride: int = 11,
        dilation: int = 1,
        kernel: str = "gaussian",
        interpolate: bool = True,
        sampling: str = "gumbel",
        eval_mode: str = "reference",
        backend: str = "auto",
        first_dilation: int | None = None,
    ) -> None:
        options = window, grid_stride, kernel, interpolate, sampling, eval_mode, backend
        name = type(self).__name__
        stride, dilation = square(stride, "stride", name), square(dilation, "dilation", name)
        super().__init__(in_channels, (stride, stride), *options)
        first = first_dilation or dilation
        self.conv1 = Conv2D(in_channels, channels, 3, stride, padding=first, dilation=first)
        self.bn1 = BatchNorm2D(channels)
        self.conv2 = Conv2D(channels, channels, 3, padding=dilation, dilation=dilation)
        self.bn2 = BatchNorm2D(channels)
        self.downsample = _shortcut(in_channels, channels, stride) if downsample is None else downsample

    def forward(self, x: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        mask1, mask2 = self._sample(x, noise)
        a = self._fill(norm_act(self.bn1, self.conv1(x)), mask1, "conv1")
        b = self._fill(self.bn2(self.conv2(a)), mask2, "conv2")
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(b + shortcut)


def _mask_branch(in_channels: int, stride: int) -> Conv2D:
    """3x3 convolution to one logit; starts at weight 0 and bias 3, so that every position is kept with p = 0.9526."""
    bias = ParamAttr(initializer=nn.initializer.Constant(3.0))
    return Conv2D(in_channels, 1, 3, stride, padding=1, bias_attr=bias, weight_attr=nn.initializer.Constant(0.0))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Layer | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(Conv2D(in_channels, out_channels, 1, stride), BatchNorm2D(out_channels))
