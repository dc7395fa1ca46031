"""What a network returns, out of the outputs of its program; some of it Paddle computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.jit import not_to_static

from .builder import Map
from .reference_basic import bilinear


@dataclass(frozen=True)
class Resized:
    """Value of a lowering function: the sum of ``maps`` at the size of the first one, resized to the image."""

    maps: tuple[Map, ...]


def split(y: Any) -> tuple[Sequence[Map], str]:
    """The maps in a value, and how `RETURNS` makes the network's output of them."""
    if isinstance(y, Map):
        return [y], "tensor"
    if isinstance(y, Resized):
        return y.maps, "resized"
    if isinstance(y, list):
        return (y[0].maps, "list of resized") if isinstance(y[0], Resized) else (y, "list")
    returns = "high" if y[1] is None else "low" if y[0] is None else "pair"
    return [group for group in y if group is not None], returns


@not_to_static  # while a graph is traced no size is known
def _resized(maps: Sequence[Tensor], image: Tensor) -> Tensor:
    total = maps[0]
    for level in maps[1:]:
        total = total + _to_size_of(maps[0], level)
    return _to_size_of(image, total)


def _to_size_of(like: Tensor, x: Tensor) -> Tensor:
    if not paddle.in_dynamic_mode():
        sizes = [paddle.shape(like)[axis] for axis in (2, 3)]
        scales = [new.astype("float32") / paddle.shape(x)[axis].astype("float32") for axis, new in zip((2, 3), sizes)]
        return bilinear(x, sizes, scales)
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


RETURNS: dict[str, Callable[[list[Tensor], Tensor], Any]] = {  # of the program's outputs and its input
    "tensor": lambda outputs, x: outputs[0],
    "list": lambda outputs, x: outputs,
    "pair": lambda outputs, x: tuple(outputs),
    "high": lambda outputs, x: (outputs[0], None),
    "low": lambda outputs, x: (None, outputs[0]),
    "resized": _resized,
    "list of resized": lambda outputs, x: [_resized(outputs, x)],
}
# what Paddle does of it: the engine's maps are padded to 16 channels, of which few logits would fill a part
_RESIZED = "its outputs are resized to the image and added"
BEHIND = {"resized": _RESIZED, "list of resized": _RESIZED}
