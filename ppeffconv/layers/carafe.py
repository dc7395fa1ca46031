"""CARAFE: upsampling by kernels that are predicted for every output pixel (arXiv 1905.02188)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from .. import ops
from ..ops.primitives import shape_of
from ..utils.numbers import as_size
from .arguments import layer_arguments
from .conv import Conv2D, check_input, zero_bias
from .ddf import interleave


class CARAFEUpsample2D(nn.Layer):
    """Content-aware reassembly of features: each output pixel is a weighted mean around the pixel it comes from.

    A 1x1 convolution compresses the channels and a k_encoder x k_encoder one predicts kernel_size**2 logits for each of
    the scale**2 pixels that replace an input pixel (Eq. 2); a softmax normalises them, and
    ``y[c, s*i + di, s*j + dj] = sum_t w_t[s*i + di, s*j + dj] * x[c, (i, j) + offset_t]`` with zero padding (Eq. 4).
    All channels share a kernel: it is decoupled dynamic filtering with a channel part of 1.

    Args:
        channels: width of the input and the output.
        scale: integer upsampling factor.
        compressed_channels: width of what predicts the kernels (C_m, 64 in the paper).
        encoder_kernel_size, kernel_size: k_encoder and k_up, odd (3 and 5 in the paper).
        backend: see `ppeffconv.ops.ddf`.

    Shapes:
        [N, channels, h, w] -> [N, channels, scale * h, scale * w]

    Raises:
        ValueError: an even kernel, or a number that is not a positive integer.
    """

    @layer_arguments
    def __init__(
        self,
        channels: int,
        scale: int = 2,
        compressed_channels: int = 64,
        encoder_kernel_size: int = 3,
        kernel_size: int = 5,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        as_size(channels, "CARAFEUpsample2D: channels")
        as_size(compressed_channels, "CARAFEUpsample2D: compressed_channels")
        for name, size in (("encoder_kernel_size", encoder_kernel_size), ("kernel_size", kernel_size)):
            as_size(size, f"CARAFEUpsample2D: {name}", odd=True)
        as_size(scale, "CARAFEUpsample2D: scale")
        self.channels, self.scale, self.kernel_size, self.backend = channels, scale, kernel_size, backend
        logits = kernel_size**2 * scale**2
        padding = encoder_kernel_size // 2
        self.channel_compressor = Conv2D(channels, compressed_channels, 1, bias_attr=zero_bias())
        self.content_encoder = Conv2D(
            compressed_channels, logits, encoder_kernel_size, padding=padding, bias_attr=zero_bias()
        )
        # as in the authors' code: the first kernels are nearly uniform
        nn.initializer.XavierUniform()(self.channel_compressor.weight)
        nn.initializer.Normal(0.0, 0.001)(self.content_encoder.weight)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels, "CARAFEUpsample2D")
        ones = paddle.ones([x.shape[0], self.channels, self.kernel_size**2], x.dtype)
        maps = [ops.ddf(x, ones, kernels, self.kernel_size, backend=self.backend) for kernels in self._kernels(x)]
        return interleave(maps, self.scale)

    def _kernels(self, x: Tensor) -> list[Tensor]:
        """Kernels [N, k_up**2, h, w] of each of the scale**2 output pixels, row by row.

        Logit ``t * scale**2 + i`` is tap t of pixel i, the order of a pixel shuffle of all logits.
        """
        logits = self.content_encoder(self.channel_compressor(x))
        height, width = shape_of(x)[2:]
        logits = logits.reshape([0, self.kernel_size**2, self.scale**2, height, width])
        return F.softmax(logits, axis=1).astype(x.dtype).unbind(axis=2)  # automatic mixed precision widens a softmax

    def extra_macs(self, inputs: Tensor, outputs: Tensor) -> int:
        """Multiply-adds of the reassembly: one per tap and output."""
        return outputs.size * self.kernel_size**2
