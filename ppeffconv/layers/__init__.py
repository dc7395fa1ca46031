"""The five methods, their baselines and comparators as nn.Layers, and `build_conv`, the slot that takes any of them."""

from . import paddle_tools  # noqa: F401 - tells Paddle's tools of the layers
from .auxiliary import auxiliary_losses
from .carafe import CARAFEUpsample2D
from .conv import Conv2D
from .ddf import DDF2D, DDFSeparable2D, DDFUpsample2D, FilterNorm
from .decay import exempt_from_decay, undecayed_parameters
from .deformable import DeformableConv2D, DeformableSampledBottleneck
from .gating import ReLUGatedConv2D, UniformSampling
from .ghost import GhostConv2D
from .gumbel import GumbelSampler, set_eval_mode, set_temperature, temperature_at
from .het import HetConv2D
from .learned_versatile import LearnedVersatileConv2D
from .octave import (
    OctConv2D,
    OctConvBNAct,
    downsample2,
    octave_add,
    octave_map,
    octave_merge,
    octave_pool,
    split_channels,
    upsample2,
)
from .octave3d import OctConv3D, OctConv3DBNAct
from .octave_units import OctaveAvgPool2D, OctaveMerge, OctaveNormAct, OctConvBNReLU6, TensorOctConv2D
from .sampling import SampledBasicBlock, SampledBottleneck, density, density_report
from .slot import METHODS, build_conv
from .spconv import SPConv2D
from .squeeze import OctaveSqueezeExcitation, SqueezeExcitation
from .upsample import (
    UPSAMPLERS,
    BilinearUpsample2D,
    DeconvUpsample2D,
    NearestUpsample2D,
    PixelShuffleUpsample2D,
    build_upsample,
)
from .versatile import VersatileConv2D

__all__ = [
    "DDF2D",
    "METHODS",
    "UPSAMPLERS",
    "BilinearUpsample2D",
    "CARAFEUpsample2D",
    "Conv2D",
    "DDFSeparable2D",
    "DDFUpsample2D",
    "DeconvUpsample2D",
    "DeformableConv2D",
    "DeformableSampledBottleneck",
    "FilterNorm",
    "GhostConv2D",
    "GumbelSampler",
    "HetConv2D",
    "LearnedVersatileConv2D",
    "NearestUpsample2D",
    "OctConv2D",
    "OctConv3D",
    "OctConv3DBNAct",
    "OctConvBNAct",
    "OctConvBNReLU6",
    "OctaveAvgPool2D",
    "OctaveMerge",
    "OctaveNormAct",
    "OctaveSqueezeExcitation",
    "PixelShuffleUpsample2D",
    "ReLUGatedConv2D",
    "SPConv2D",
    "SampledBasicBlock",
    "SampledBottleneck",
    "SqueezeExcitation",
    "TensorOctConv2D",
    "UniformSampling",
    "VersatileConv2D",
    "auxiliary_losses",
    "build_conv",
    "build_upsample",
    "density",
    "density_report",
    "downsample2",
    "exempt_from_decay",
    "octave_add",
    "octave_map",
    "octave_merge",
    "octave_pool",
    "set_eval_mode",
    "set_temperature",
    "split_channels",
    "temperature_at",
    "undecayed_parameters",
    "upsample2",
]
