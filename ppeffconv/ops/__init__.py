"""Functional API: argument checks and backend choice around the reference forms and, where loaded, the kernels."""

from .backend import BACKENDS, choose_backend, status
from .batch_norm import batch_norm
from .blend import blend
from .conv2d import conv2d
from .ddf import MODES as DDF_MODES
from .ddf import ddf
from .filter_norm import filter_norm
from .nested_conv2d import nested_conv2d
from .octave import octave_pool, octave_upsample, octave_upsample_add
from .sample_interpolate import sample_interpolate
from .sampled_conv2d import sampled_conv2d

__all__ = [
    "BACKENDS",
    "DDF_MODES",
    "batch_norm",
    "blend",
    "choose_backend",
    "conv2d",
    "ddf",
    "filter_norm",
    "nested_conv2d",
    "octave_pool",
    "octave_upsample",
    "octave_upsample_add",
    "sample_interpolate",
    "sampled_conv2d",
    "status",
]
