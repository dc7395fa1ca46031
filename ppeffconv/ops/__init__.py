"""Functional API: argument checks and backend choice around the reference forms and, where loaded, the kernels."""

from .backend import BACKENDS, choose_backend, status
from .batch_norm import batch_norm
from .conv2d import conv2d
from .ddf import MODES as DDF_MODES
from .ddf import ddf
from .reference import filter_norm
from .sample_interpolate import sample_interpolate
from .sampled_conv2d import sampled_conv2d

__all__ = [
    "BACKENDS",
    "DDF_MODES",
    "batch_norm",
    "choose_backend",
    "conv2d",
    "ddf",
    "filter_norm",
    "sample_interpolate",
    "sampled_conv2d",
    "status",
]
