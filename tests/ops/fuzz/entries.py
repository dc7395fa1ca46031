"""What is fuzzed: one entry for each op, with its valid calls and how they reach the compiled op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paddle
from hypothesis import strategies as st

from ppeffconv import ops

from .arguments import Spec

Arguments = dict[str, Any]
FLOATS = st.sampled_from(("float32", "float64"))
NORM = ("mean", "var", "weight", "bias")
SIDES = st.one_of(st.integers(1, 7), st.integers(1, 40))


@dataclass(frozen=True)
class Entry:
    """An op: its public function, valid arguments for it, and those as (compiled op's name, its arguments in order)."""

    call: Callable[..., paddle.Tensor]
    valid: st.SearchStrategy[Arguments]
    raw: Callable[[Arguments], tuple[str, list[Any]]]


def pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def one_or_two(low: int, high: int) -> st.SearchStrategy:
    return st.one_of(st.integers(low, high), st.tuples(st.integers(low, high), st.integers(low, high)))


@st.composite
def convolution(draw) -> tuple[Arguments, list[int]]:
    """Arguments of an ordinary convolution, and the size of its output."""
    dtype = draw(FLOATS)
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    step = {"stride": draw(one_or_two(1, 4)), "padding": draw(one_or_two(0, 5)), "dilation": draw(one_or_two(1, 3))}
    stride, padding, dilation = map(pair, step.values())
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    size = [max(e - 2 * p, 1) + draw(SIDES) - 1 for e, p in zip(extents, padding)]
    batch, channels, out = draw(st.integers(0, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    bias = Spec((out,), dtype) if draw(st.booleans()) else None
    tensors = {
        "x": Spec((batch, channels, *size), dtype),
        "weight": Spec((out, channels, *kernel), dtype),
        "bias": bias,
    }
    outputs = [(h + 2 * p - e) // s + 1 for h, p, e, s in zip(size, padding, extents, stride)]
    return tensors | step, outputs


@st.composite
def conv2d(draw) -> Arguments:
    arguments, _ = draw(convolution())
    groups = draw(st.integers(1, 3))
    batch, channels, *size = arguments["x"].shape
    out, _, *kernel = arguments["weight"].shape
    dtype = arguments["x"].dtype
    arguments["x"] = Spec((batch, channels * groups, *size), dtype)
    arguments["weight"] = Spec((out * groups, channels, *kernel), dtype)
    arguments["bias"] = arguments["bias"] and Spec((out * groups,), dtype)
    return arguments | {"groups": groups}


def raw_conv2d(a: Arguments) -> tuple[str, list[Any]]:
    tensors = [t for t in (a["x"], a["weight"], a["bias"]) if t is not None]
    step = [pair(a[name]) for name in ("stride", "padding", "dilation")]
    return "conv2d" if len(tensors) == 2 else "conv2d_bias", [*tensors, *step, a["groups"], True, True]


@st.composite
def sampled_conv2d(draw) -> Arguments:
    arguments, size = draw(convolution())
    return arguments | {"mask": Spec((arguments["x"].shape[0], 1, *size), draw(st.sampled_from(("bool", "float32"))))}


def raw_sampled_conv2d(a: Arguments) -> tuple[str, list[Any]]:
    mask = Spec(a["mask"].shape, "bool")
    step = [pair(a[name]) for name in ("stride", "padding", "dilation")]
    return "sampled_conv2d", [a["x"], a["weight"], mask, a["bias"], *step]


@st.composite
def ddf(draw) -> Arguments:
    dtype = draw(FLOATS)
    batch, channels, height, width = draw(st.tuples(st.integers(0, 2), st.integers(1, 9), SIDES, SIDES))
    kernel, stride, dilation = draw(st.sampled_from((1, 3, 5))), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = [(side - 1) // stride + 1 for side in (height, width)]
    return {
        "x": Spec((batch, channels, height, width), dtype),
        "channel_filter": Spec((batch, channels, kernel * kernel), dtype),
        "spatial_filter": Spec((batch, kernel * kernel, *size), dtype),
        "kernel_size": kernel,
        "stride": stride,
        "dilation": dilation,
        "mode": draw(st.sampled_from(ops.DDF_MODES)),
    }


@st.composite
def sample_interpolate(draw) -> Arguments:
    dtype = draw(FLOATS)
    batch, channels, height, width = draw(st.tuples(st.integers(0, 2), st.integers(1, 9), SIDES, SIDES))
    return {
        "features": Spec((batch, channels, height, width), dtype),
        "mask": Spec((batch, 1, height, width), dtype, share=True),
        "sigma": Spec(draw(st.sampled_from(((), (1,)))), dtype),
        "window": draw(st.sampled_from((1, 3, 7, 99))),
    }


@st.composite
def batch_norm(draw) -> Arguments:
    dtype = draw(FLOATS)
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 9)), *draw(st.lists(SIDES, max_size=2)))
    names = ("running_mean", "running_var", "weight", "bias")
    return {
        "x": Spec(shape, dtype),
        **{name: Spec(shape[1:2], dtype, share=True) for name in names},
        "residual": Spec(shape, dtype) if draw(st.booleans()) else None,
        "relu": draw(st.booleans()),
        "training": draw(st.booleans()),
        "momentum": 0.9,
        "epsilon": 1e-5,
    }


def raw_batch_norm(a: Arguments) -> tuple[str, list[Any]]:
    residual = [a["residual"]] if a["residual"] else []
    statistics = [a["running_mean"], a["running_var"]]
    tensors = [a["x"], a["weight"], a["bias"], *residual, *statistics]
    return "batch_norm_add" if residual else "batch_norm", [
        *tensors,
        a["momentum"],
        a["epsilon"],
        a["training"],
        a["relu"],
    ]


def blend_flat(x, y, training, momentum, epsilon, backend, **norms) -> paddle.Tensor:
    """`ops.blend` with each tensor under a name of its own."""
    norm_x, norm_y = ([norms[f"{name}_{branch}"] for name in NORM] for branch in "xy")
    return ops.blend(x, y, norm_x, norm_y, training, momentum, epsilon, backend)


@st.composite
def blend(draw) -> Arguments:
    dtype = draw(FLOATS)
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES))
    statistics = {f"{name}_{branch}": Spec(shape[1:2], dtype, share=True) for branch in "xy" for name in NORM}
    settings = {"training": draw(st.booleans()), "momentum": 0.9, "epsilon": 1e-5}
    return {"x": Spec(shape, dtype), "y": Spec(shape, dtype), **statistics, **settings}


def raw_blend(a: Arguments) -> tuple[str, list[Any]]:
    order = "x weight_x bias_x y weight_y bias_y mean_x var_x mean_y var_y momentum epsilon training"
    return "blend", [a[name] for name in order.split()]


@st.composite
def filter_norm(draw) -> Arguments:
    dtype = draw(FLOATS)
    shape = draw(st.one_of(st.tuples(st.integers(0, 3), SIDES, SIDES), st.tuples(*[st.integers(1, 5)] * 4)))
    axis = draw(st.integers(1, len(shape) - 1))
    scales = [st.none(), st.just(0.5)]
    if len(shape) == 3 and axis == 2:
        scales.append(st.just(Spec(shape[1:], dtype)))
    return {"logits": Spec(shape, dtype), "axis": axis, "scale": draw(st.one_of(scales)), "eps": 1e-10}


def raw_filter_norm(a: Arguments) -> tuple[str, list[Any]]:
    if isinstance(a["scale"], Spec):
        return "filter_norm_scaled", [a["logits"], a["scale"], a["eps"]]
    return "filter_norm", [a["logits"], a["axis"], 1.0, a["eps"]]


@st.composite
def nested_conv2d(draw) -> Arguments:
    arguments = draw(conv2d())
    return {name: value for name, value in arguments.items() if name != "bias"}


def raw_nested_conv2d(a: Arguments) -> tuple[str, list[Any]]:
    step = [pair(a[name]) for name in ("stride", "padding", "dilation")]
    return "nested_conv2d", [a["x"], a["weight"], *step, a["groups"], True, True]


@st.composite
def octave(draw, *names: str) -> Arguments:
    """One or both of the resolutions "high" and "low", and of the size of "high" if that is not among them."""
    dtype = draw(FLOATS)
    batch, channels, height, width = draw(st.tuples(st.integers(0, 2), st.integers(1, 9), SIDES, SIDES))
    sizes = {"high": (height, width), "low": ((height + 1) // 2, (width + 1) // 2), "x": (height, width)}
    tensors = {name: Spec((batch, channels, *sizes[name]), dtype) for name in names}
    return tensors | ({"size": (height, width)} if names == ("low",) else {})


ENTRIES = {
    "blend": Entry(blend_flat, blend(), raw_blend),
    "filter_norm": Entry(ops.filter_norm, filter_norm(), raw_filter_norm),
    "nested_conv2d": Entry(ops.nested_conv2d, nested_conv2d(), raw_nested_conv2d),
    "octave_pool": Entry(ops.octave_pool, octave("x"), lambda a: ("octave_pool", [a["x"]])),
    "octave_upsample": Entry(ops.octave_upsample, octave("low"), lambda a: ("octave_upsample", [a["low"], *a["size"]])),
    "octave_upsample_add": Entry(
        ops.octave_upsample_add, octave("high", "low"), lambda a: ("octave_upsample_add", [a["high"], a["low"]])
    ),
    "batch_norm": Entry(ops.batch_norm, batch_norm(), raw_batch_norm),
    "conv2d": Entry(ops.conv2d, conv2d(), raw_conv2d),
    "ddf": Entry(ops.ddf, ddf(), lambda a: ("ddf", list(a.values()))),
    "sample_interpolate": Entry(
        ops.sample_interpolate, sample_interpolate(), lambda a: ("sample_interpolate", [*a.values(), True])
    ),
    "sampled_conv2d": Entry(ops.sampled_conv2d, sampled_conv2d(), raw_sampled_conv2d),
}
