"""Arguments as data: tensors described rather than made, so that a failing call can be printed, shrunk and repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import paddle
from hypothesis import strategies as st

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")
LAYOUTS = ("plain", "turned", "strided")
HUGE = (2**31 - 1, 2**31, -(2**31), 2**40, 2**63)
WILD = (
    None,
    "3",
    "same",
    1.5,
    float("nan"),
    True,
    (),
    (1,),
    (1, 2),
    [2, 1],
    (0, 1),
    (-1, 1),
    (1, 2, 3),
    [1, "x"],
    *HUGE,
)


@dataclass(frozen=True)
class Spec:
    """A tensor to be made of normal numbers, or of numbers in [0, 1) if it is a ``share``.

    ``layout`` other than "plain" is a view that is not contiguous.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "plain"
    share: bool = False

    def make(self, seed: int) -> paddle.Tensor:
        shape = list(self.shape)
        if self.layout == "turned":
            shape[-2:] = shape[:-3:-1]
        elif self.layout == "strided" and shape:
            shape[-1] *= 2
        random = np.random.default_rng(seed)
        values = random.random(shape) if self.share else random.standard_normal(shape)
        tensor = paddle.to_tensor(values > 0.5 if self.dtype == "bool" else values).astype(self.dtype)
        if self.layout == "turned" and len(shape) > 1:
            return tensor.transpose([*range(len(shape) - 2), len(shape) - 1, len(shape) - 2])
        return tensor[..., ::2] if self.layout == "strided" and shape and tensor.size else tensor


def make(value: Any, seed: int) -> Any:
    """The argument itself: a tensor for a `Spec`, anything else as it is."""
    return value.make(seed) if isinstance(value, Spec) else value


@st.composite
def changed(draw, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a valid call after none, one or two changes."""
    arguments = dict(arguments)
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2)))):
        name = draw(st.sampled_from(sorted(arguments)))
        value = arguments[name]
        if isinstance(value, Spec) and draw(st.integers(0, 5)):
            arguments[name] = draw(changed_tensor(value))
        else:
            arguments[name] = draw(st.one_of(st.integers(-2, 5), st.sampled_from(WILD), tensors))
    return arguments


@st.composite
def changed_tensor(draw, spec: Spec) -> Spec:
    """Another size, rank, type or layout."""
    what = draw(st.sampled_from(("size", "size", "rank", "dtype", "layout")))
    if what == "dtype":
        return replace(spec, dtype=draw(st.sampled_from(DTYPES)))
    if what == "layout":
        return replace(spec, layout=draw(st.sampled_from(LAYOUTS)))
    shape = list(spec.shape)
    at = draw(st.integers(0, max(len(shape) - 1, 0)))
    if what == "rank":
        shape = shape[:at] + shape[at + 1 :] if draw(st.booleans()) else [*shape[:at], 1, *shape[at:]]
    elif shape:
        shape[at] = draw(st.one_of(st.sampled_from((0, 1, shape[at] + 1, max(shape[at] - 1, 0))), st.integers(0, 40)))
    return replace(spec, shape=tuple(shape))


tensors = st.builds(Spec, st.lists(st.integers(0, 5), max_size=5).map(tuple), st.sampled_from(DTYPES))
