"""Whose checkpoints are understood, and how their keys differ from ours: rewrites, applied in order."""

from __future__ import annotations

_COMMON = ((r"\.running_mean$", "._mean"), (r"\.running_var$", "._variance"))
_GLUON = (
    (r"^L(\d+)_B(\d+)\.", lambda m: f"layer{m[1]}.{int(m[2])}."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    *_COMMON,
)
PADDLE = "PaddlePaddle/Paddle"
SOURCES = {
    PADDLE: (),  # depend on the network, see `paddle_vision`
    "d-li14/octconv.pytorch": _COMMON,
    "facebookresearch/OctConv": _GLUON,
    "qiulinzhang/SPConv.pytorch": _COMMON,
    "huawei-noah/Versatile-Filters": _COMMON,
    "theFoxofSky/ddfnet": _COMMON,
    "zdaxie/SpatiallyAdaptiveInference-Detection": _COMMON,
}
