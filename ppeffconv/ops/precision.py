"""What `paddle.amp.auto_cast` asks of an op: the casts that Paddle's own ops make for themselves."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.jit import not_to_static

from ..utils.numbers import is_size

HALF = (paddle.float16, paddle.bfloat16)
_CASTABLE = (*HALF, paddle.float32)  # Paddle leaves float64 alone


@not_to_static  # types are known while a graph is traced: nothing to trace
def as_convolution(x: Tensor, weight: Tensor, groups: int = 1) -> tuple[Tensor, Tensor]:
    """Under `auto_cast` both in its low precision, as convolutions of Paddle are; depthwise ones are not."""
    if not paddle.is_autocast_enabled():
        return x, weight
    if _is_depthwise(weight, groups):
        return as_widest(x, weight)
    low = getattr(paddle, paddle.get_autocast_dtype())
    return tuple(t.astype(low) if getattr(t, "dtype", low) in _CASTABLE and t.dtype != low else t for t in (x, weight))


def _is_depthwise(weight: Tensor, groups: int) -> bool:
    return is_size(groups, 2) and list(getattr(weight, "shape", ()))[1:2] == [1]


@not_to_static
def as_widest(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Under `auto_cast` the tensors in one type, float32 unless all are in the same half, like sums and products."""
    types = {getattr(t, "dtype", None) for t in tensors}
    if len(types) == 1 or not types.issubset(_CASTABLE) or not paddle.is_autocast_enabled():
        return tensors
    return tuple(t.astype("float32") for t in tensors)


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` widened to float32 if it is in half precision."""
    return x.astype("float32") if x.dtype in HALF else x


@not_to_static
def mixes(wide: Tensor, x: Tensor) -> bool:
    """Whether ``wide`` may be of another type than ``x``: float32 beside a half, which Paddle's sum then widens."""
    return paddle.is_autocast_enabled() and {wide.dtype, x.dtype}.issubset(_CASTABLE)
