"""Every public layer that has parameters, small, with the shape of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import paddle
from paddle import Tensor, nn

from ppeffconv import layers

CHANNELS = 8


class Case(NamedTuple):
    """How to build a layer, and its inputs: shapes of tensors, or a pair of shapes for octave groups."""

    build: Callable[..., nn.Layer]
    inputs: tuple = ((2, CHANNELS, 6, 5),)


PAIR = (((2, 4, 6, 5), (2, 4, 3, 3)),)
VIDEO = (((2, 4, 3, 6, 5), (2, 4, 3, 3, 3)),)
WITH_ATTRIBUTES = {
    "Conv2D": Case(lambda **k: layers.Conv2D(8, 8, 3, padding=1, **k)),
    "OctConv2D": Case(lambda **k: layers.OctConv2D(8, 8, 3, padding=1, **k), PAIR),
    "OctConv2D, stride 2": Case(lambda **k: layers.OctConv2D(8, 8, 3, padding=1, stride=2, **k), PAIR),
    "OctConvBNAct": Case(lambda **k: layers.OctConvBNAct(8, 8, 3, padding=1, **k), PAIR),
    "OctConvBNReLU6": Case(lambda **k: layers.OctConvBNReLU6(8, 8, 3, padding=1, **k), PAIR),
    "TensorOctConv2D": Case(lambda **k: layers.TensorOctConv2D(8, 8, 3, padding=1, **k)),
    "OctConv3D": Case(lambda **k: layers.OctConv3D(8, 8, (3, 3, 3), **k), VIDEO),
    "OctConv3DBNAct": Case(lambda **k: layers.OctConv3DBNAct(8, 8, (3, 3, 3), **k), VIDEO),
    "SPConv2D": Case(lambda **k: layers.SPConv2D(8, 8, **k)),
    "VersatileConv2D": Case(lambda **k: layers.VersatileConv2D(8, 8, 3, padding=1, **k)),
    "VersatileConv2D, v2": Case(lambda **k: layers.VersatileConv2D(8, 8, 3, padding=1, delta=1, **k)),
    "LearnedVersatileConv2D": Case(lambda **k: layers.LearnedVersatileConv2D(8, 8, 3, padding=1, **k)),
    "DDF2D": Case(lambda **k: layers.DDF2D(8, **k)),
    "DDF2D, add": Case(lambda **k: layers.DDF2D(8, mode="add", heads=2, **k)),
    "DDFSeparable2D": Case(lambda **k: layers.DDFSeparable2D(8, 8, **k)),
    "DDFUpsample2D": Case(lambda **k: layers.DDFUpsample2D(8, **k)),
    "CARAFEUpsample2D": Case(lambda **k: layers.CARAFEUpsample2D(8, compressed_channels=4, **k)),
    "DeconvUpsample2D": Case(lambda **k: layers.DeconvUpsample2D(8, **k)),
    "PixelShuffleUpsample2D": Case(lambda **k: layers.PixelShuffleUpsample2D(8, **k)),
    "DeformableConv2D": Case(lambda **k: layers.DeformableConv2D(8, 8, **k), ((2, 8, 6, 5), (2, 18, 6, 5))),
    "ReLUGatedConv2D": Case(lambda **k: layers.ReLUGatedConv2D(8, 8, padding=1, **k)),
    "GhostConv2D": Case(lambda **k: layers.GhostConv2D(8, 8, padding=1, **k)),
    "HetConv2D": Case(lambda **k: layers.HetConv2D(8, 8, padding=1, **k)),
    "SqueezeExcitation": Case(lambda **k: layers.SqueezeExcitation(8, 4, **k)),
    "OctaveSqueezeExcitation": Case(lambda **k: layers.OctaveSqueezeExcitation(8, 0.5, 4, **k), PAIR),
    "SampledBasicBlock": Case(lambda **k: layers.SampledBasicBlock(8, 8, window=3, sampling="deterministic", **k)),
    "SampledBottleneck": Case(
        lambda **k: layers.SampledBottleneck(8, 4, stride=2, window=3, sampling="deterministic", **k)
    ),
    "DeformableSampledBottleneck": Case(
        lambda **k: layers.DeformableSampledBottleneck(8, 4, window=3, sampling="deterministic", **k)
    ),
}
LAYERS = {
    **WITH_ATTRIBUTES,
    "FilterNorm": Case(lambda: layers.FilterNorm(8, 3, "channel"), ((2, 72, 1, 1),)),
    "OctaveNormAct": Case(lambda: layers.OctaveNormAct((4, 4)), PAIR),
}


def inputs_of(case: Case, seed: int = 0) -> list:
    """Normal tensors of the case's shapes."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple):
        if isinstance(shape[0], tuple):
            return tuple(draw(part) for part in shape)
        return paddle.to_tensor(rng.standard_normal(shape).astype("float32"))

    return [draw(shape) for shape in case.inputs]


def outputs_of(layer: nn.Layer, inputs: list) -> list[Tensor]:
    """The output's tensors."""
    y = layer(*inputs)
    return [part for part in (y if isinstance(y, tuple) else (y,)) if part is not None]
