"""Paddle's own tools know layers by their exact class: `paddle.flops` and `paddle.quantization` are told of ours.

Both look at layers alone, so what a layer of several parts does between them stays out of sight: `paddle.flops` counts
neither the dynamic filtering of DDF nor HetConv's 1x1 kernels (`ppeffconv.profile` does), and quantisation-aware
training leaves these, three-dimensional and deformable convolutions in floating point. `paddle.flops` looks at
sublayers alone: a lone layer, or a deployed network, is counted in a `paddle.nn.Sequential` around it.
"""

from __future__ import annotations

from typing import Any

from paddle import Tensor, nn
from paddle.hapi.dynamic_flops import count_bn, count_convNd, register_hooks
from paddle.nn.quant.format import ConvertibleQuantedLayer
from paddle.nn.quant.qat import QuantedConv2D
from paddle.quantization.config import DEFAULT_QAT_LAYER_MAPPINGS

from .conv import Conv2D
from .deformable import DeformableConv2D
from .learned_versatile import LearnedVersatileConv2D
from .norm import BatchNorm2D
from .octave3d import Conv3D
from .versatile import VersatileConv2D


class QuantedVersatileConv2D(ConvertibleQuantedLayer):
    """A versatile convolution with fake quantisation of its input and of its stored weight, as Paddle's convolution.

    Args:
        layer: `VersatileConv2D` or `LearnedVersatileConv2D`.
        q_config: its part of a `paddle.quantization.QuantConfig`.
    """

    def __init__(self, layer: nn.Layer, q_config: Any) -> None:
        super().__init__()
        self.layer = layer
        self.weight_quanter = None if q_config.weight is None else q_config.weight._instance(layer)
        self.activation_quanter = None if q_config.activation is None else q_config.activation._instance(layer)

    @property
    def weight(self) -> Tensor:
        """The stored weight, which Paddle's conversion replaces."""
        return self.layer.weight

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.activation_quanter is None else self.activation_quanter(x)
        return self.layer.convolve(x, self.weight if self.weight_quanter is None else self.weight_quanter(self.weight))

    def weights_to_quanters(self) -> list[tuple[str, str]]:
        """What Paddle's conversion quantises, and by what."""
        return [("weight", "weight_quanter")]

    def activation_quanters(self) -> list[str]:
        """What quantises the input."""
        return ["activation_quanter"]


def count_extra(layer: nn.Layer, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
    """What `paddle.flops` calls for a layer that has ``extra_macs``."""
    layer.total_ops += layer.extra_macs(inputs[0], outputs)


register_hooks |= {
    Conv2D: count_convNd,
    Conv3D: count_convNd,
    DeformableConv2D: count_convNd,
    BatchNorm2D: count_bn,
    VersatileConv2D: count_extra,
    LearnedVersatileConv2D: count_extra,
}
DEFAULT_QAT_LAYER_MAPPINGS |= {
    Conv2D: QuantedConv2D,
    VersatileConv2D: QuantedVersatileConv2D,
    LearnedVersatileConv2D: QuantedVersatileConv2D,
}
