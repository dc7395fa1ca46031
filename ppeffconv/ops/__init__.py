"""Functional API: argument checks and backend choice around the reference forms and, where loaded, the kernels."""

from ..utils.lazy import import_lazily

__all__ = import_lazily(
    __name__,
    {
        "BACKENDS": ".backend",
        "DDF_MODES": ".ddf:MODES",
        "batch_norm": ".batch_norm",
        "blend": ".blend",
        "choose_backend": ".backend",
        "conv2d": ".conv2d",
        "ddf": ".ddf",
        "filter_norm": ".filter_norm",
        "limit_memory": ".deployed",
        "memory": ".deployed",
        "nested_conv2d": ".nested_conv2d",
        "octave_pool": ".octave",
        "octave_upsample": ".octave",
        "octave_upsample_add": ".octave",
        "sample_interpolate": ".sample_interpolate",
        "sampled_conv2d": ".sampled_conv2d",
        "status": ".backend",
    },
)
