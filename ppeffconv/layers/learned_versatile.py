"""LearnedVersatileConv2D: versatile filters whose binary masks are learned (arXiv 2109.09310)."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn
from paddle.autograd import PyLayer

from ..ops import conv2d
from ..utils.numbers import is_size
from .arguments import Attr, bias_attribute, layer_arguments
from .conv import check_channels, check_input, fan_in_uniform, kaiming_fan_out, pair
from .decay import undecayed_attr

MASK_VALUES = ("binary", "sign")


class _StayInRange(PyLayer):
    """The identity, whose gradient does not push a latent value further out of its range [low, high].

    The paper clips the latent mask after each step; this keeps it there without touching a parameter in forward. The
    binary value is not made in here: a traced program finds no gradient behind a comparison inside a PyLayer.
    """

    @staticmethod
    def forward(ctx, latent, low, high):
        ctx.save_for_backward(latent)
        ctx.range = low, high
        return latent * 1.0  # a PyLayer must not return its input

    @staticmethod
    def backward(ctx, grad):
        (latent,) = ctx.saved_tensor()
        low, high = ctx.range
        outward = ((latent >= high) & (grad < 0)) | ((latent <= low) & (grad > 0))
        return paddle.where(outward, paddle.zeros_like(grad), grad)


class LearnedVersatileConv2D(nn.Layer):
    """Convolution whose out_channels filters are F = ceil(out_channels / s) stored kernels under learned binary masks.

    Output channel o is stored kernel ``o mod F`` under mask ``o`` (one set per primary filter) or mask ``o div F``
    (shared). The masks are latent parameters, binarised forwards and trained straight through; weight decay spares
    them, see `exempt_from_decay`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias_attr: as in nn.Conv2D.
        s: secondary filters per stored kernel.
        shared: one set of s masks for all stored kernels instead of one set for each; the paper finds it weaker.
        mask_values: "binary" for {0, 1} with latents in [0, 1], as the paper writes it; "sign" for {-1, 1}, as the
            authors' released code of the sister paper does.

    Shapes:
        [N, in_channels, H, W] -> [N, out_channels, OH, OW] as of nn.Conv2D.

    Raises:
        ValueError: arguments out of range or channels that cannot be grouped.
    """

    decisions = undecayed = ("mask",)

    @layer_arguments
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias_attr: Attr = None,
        s: int = 4,
        shared: bool = False,
        mask_values: str = "binary",
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels, groups)
        kernel = pair(kernel_size, "kernel_size")
        if not is_size(s) or s > out_channels:
            raise ValueError(f"LearnedVersatileConv2D: s must lie in [1, out_channels={out_channels}], got {s!r}")
        if mask_values not in MASK_VALUES:
            raise ValueError(f"LearnedVersatileConv2D: mask_values must be one of {MASK_VALUES}, got {mask_values!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.stride, self.dilation = pair(stride, "stride"), pair(dilation, "dilation")
        self.padding = pair(padding, "padding", minimum=0)
        self.s, self.shared = s, shared
        self.mask_range = (0.0, 1.0) if mask_values == "binary" else (-1.0, 1.0)

        primaries = math.ceil(out_channels / s)
        shape = [primaries, in_channels // groups, *kernel]
        self.weight = self.create_parameter(shape, attr=kaiming_fan_out(shape))
        latent = undecayed_attr(nn.initializer.Uniform(*self.mask_range))
        self.mask = self.create_parameter([s if shared else s * primaries, *shape[1:]], attr=latent)
        bias = bias_attribute(bias_attr, fan_in_uniform(math.prod(shape[1:])))
        self.bias = None if bias is False else self.create_parameter([out_channels], attr=bias, is_bias=True)

    def masks(self) -> Tensor:
        """The binary masks [s, 1 or F, in_channels / groups, kh, kw], differentiable straight through."""
        low, high = self.mask_range
        binary = low + (high - low) * (self.mask > (low + high) / 2).astype(self.mask.dtype)
        if self.training:
            latent = _StayInRange.apply(self.mask, low, high)
            binary = binary + (latent - latent.detach())  # 0, and the gradient of the latent mask
        return binary.reshape([self.s, -1, *self.weight.shape[1:]])

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The forward with another weight in place of the layer's own, such as a quantised one."""
        check_input(x, self.in_channels, "LearnedVersatileConv2D")
        weight = (weight.unsqueeze(0) * self.masks()).reshape([-1, *weight.shape[1:]])[: self.out_channels]
        return conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """{"orthogonality": mean over mask sets of 1/2 ||M^T M / D - I||_F^2}, M = [vec M_1 .. vec M_s] [D, s]."""
        masks = self.masks()
        sets = masks.reshape([self.s, masks.shape[1], -1]).transpose([1, 0, 2])  # [mask sets, s, D]
        gram = paddle.bmm(sets, sets.transpose([0, 2, 1])) / sets.shape[2]
        residual = gram - paddle.eye(self.s, dtype=gram.dtype)
        return {"orthogonality": 0.5 * (residual * residual).sum([1, 2]).mean()}

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of the convolution with the expanded filters."""
        return outputs.size * math.prod(self.weight.shape[1:])
