"""A GPU's half-precision kernels and automatic casts for tests on a CPU, whose Paddle has few of the ones and none of
the others: an op that does not take half types runs in float32, and its result is rounded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paddle
from paddle import _C_ops
from paddle.amp.amp_lists import EXTRA_BLACK_LIST, FP16_BLACK_LIST, FP16_WHITE_LIST
from paddle.base import core
from paddle.jit import not_to_static

HALF = (paddle.float16, paddle.bfloat16)
OPERATORS = [f"__{r}{name}__" for name in ("add", "sub", "mul", "truediv") for r in ("", "r")]
OPERATORS += [f"__{name}__" for name in ("pow", "neg", "lt", "le", "gt", "ge", "eq", "ne")]
BLACK = {name.removesuffix("_v2").removeprefix("reduce_") for name in FP16_BLACK_LIST | EXTRA_BLACK_LIST}
LACKING = ("Check data type error", "kernel", "not support", "NotFound", "Unimplemented")


@contextmanager
def half_kernels() -> Iterator[None]:
    """Let every op of Paddle take half types, in eager mode and while a program is traced."""
    places = _places()
    for owner, name, op in places:
        setattr(owner, name, _taking_half(name.strip("_"), op))
    try:
        yield
    finally:
        for owner, name, op in places:
            setattr(owner, name, op)


def _places() -> list[tuple[Any, str, Callable]]:
    """Wherever Paddle has an op: its modules import them from one another, and the operators of traced values hold
    theirs."""
    ops = {
        name: op for name, op in vars(_C_ops).items() if callable(op) and not name.startswith("_") and name != "cast"
    }
    modules = [m for name, m in sys.modules.items() if name.partition(".")[0] == "paddle" and m is not None]
    places = [(m, name, op) for m in modules for name, op in ops.items() if vars(m).get(name) is op]
    return places + [(paddle.pir.Value, name, getattr(paddle.pir.Value, name)) for name in OPERATORS]


@contextmanager
def eager_auto_cast(dtype: str) -> Iterator[None]:
    """`paddle.amp.auto_cast(level="O1")` in eager mode, which Paddle has on GPUs alone; within `half_kernels`."""
    tracer = paddle.base.framework._dygraph_tracer()
    before = tracer._amp_level, tracer._amp_dtype
    tracer._amp_level, tracer._amp_dtype = core.AmpLevel.O1, dtype
    try:
        yield
    finally:
        tracer._amp_level, tracer._amp_dtype = before


def _taking_half(name: str, op: Callable) -> Callable:
    def run(*arguments: Any, **options: Any) -> Any:
        if paddle.in_dynamic_mode() and paddle.is_autocast_enabled():
            arguments = _cast_by_list(name, arguments)
        try:
            return op(*arguments, **options)
        except (TypeError, RuntimeError, NotImplementedError) as error:
            types = {t.dtype for t in _tensors(arguments) if t.dtype in (*HALF, paddle.float32)}
            low = _result_type(name, types)
            if low is None or not any(word in str(error) for word in LACKING):
                raise
        with _no_casts():
            wide = op(*_cast(arguments, HALF, paddle.float32), **_cast(options, HALF, paddle.float32))
            if name.startswith("batch_norm"):  # its statistics stay as they are
                return (wide[0].astype(low), *wide[1:])
            return _cast(wide, (paddle.float32,), low)

    return not_to_static(run)


def _cast_by_list(name: str, arguments: tuple) -> tuple:
    """The casts of O1: to half for what gains by it, to float32 for what needs it, else to the widest of the inputs."""
    low = getattr(paddle, paddle.get_autocast_dtype())
    if name in FP16_WHITE_LIST:
        return _cast(arguments, (paddle.float32,), low)
    if name in BLACK:
        return _cast(arguments, HALF, paddle.float32)
    types = {t.dtype for t in _tensors(arguments)}
    mixed = low in types and paddle.float32 in types and not name.startswith("batch_norm")
    return _cast(arguments, HALF, paddle.float32) if mixed else arguments


def _result_type(name: str, types: set) -> paddle.dtype | None:
    """The half type of an op's result, None if it is not one for this module."""
    if name in FP16_WHITE_LIST and paddle.is_autocast_enabled():
        return getattr(paddle, paddle.get_autocast_dtype())
    halves = types.intersection(HALF)
    return next(iter(halves)) if len(halves) == 1 and (len(types) == 1 or name.startswith("batch_norm")) else None


@contextmanager
def _no_casts() -> Iterator[None]:
    if not paddle.in_dynamic_mode():
        with paddle.amp.auto_cast(enable=False):
            yield
        return
    tracer = paddle.base.framework._dygraph_tracer()
    level, tracer._amp_level = tracer._amp_level, core.AmpLevel.O0
    try:
        yield
    finally:
        tracer._amp_level = level


def _tensors(value: Any) -> Iterator[Any]:
    if hasattr(value, "dtype"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _cast(value: Any, those: tuple, dtype: paddle.dtype) -> Any:
    if hasattr(value, "dtype"):
        return value.astype(dtype) if value.dtype in those else value
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(item, those, dtype) for item in value)
    if isinstance(value, dict):
        return {key: _cast(item, those, dtype) for key, item in value.items()}
    return value
