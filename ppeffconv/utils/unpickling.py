"""Pickles that hold weights or images, read so that none of them can run code.

A pickle is a program: it may call any function that it names. Here it may name only what tensors in dictionaries need,
and gets stand-ins for that, which build plain NumPy arrays after checking every size.
"""

from __future__ import annotations

import codecs
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import IO, Any

import numpy as np

NUMERIC = re.compile(r"(b1|[iu][1248]|f[248]|c(8|16))$")


DAMAGED = (
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    NotImplementedError,
    struct.error,
)
"""What a pickle that was changed anywhere may raise."""


class RefusedError(ValueError):
    """A pickle that asks for more than weights."""


class Deferred:
    """What becomes an array, or the like, once the whole pickle has been read."""

    def value(self) -> Any:
        raise NotImplementedError

    def __setstate__(self, state: Any) -> None:
        raise RefusedError(f"it changes a {type(self).__name__.strip('_').lower()} after it was made")


class Unpickler(pickle._Unpickler):
    """Reads numbers, strings, NumPy arrays, and the containers around them.

    Derived from the standard library's unpickler in Python: the one in C lets a few bytes ask for any amount of memory.

    Args:
        stand_ins: more names, (module, name) -> function, class or constant.

    Raises (in ``load``):
        RefusedError: the pickle asks for something else.
        Exception: it is damaged, one of `DAMAGED`.
    """

    def __init__(self, file: IO[bytes], stand_ins: Mapping[tuple[str, str], Any] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self._stand_ins = {**_STAND_INS, **(stand_ins or {})}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._stand_ins:
            raise RefusedError(
                f"it asks for {module}.{name}; only tensors, numbers, strings and dictionaries are read, because a "
                "pickle that may ask for anything can run any code"
            )
        stand_in = self._stand_ins[module, name]
        # a pickle can set attributes of what it holds, so it gets a function or class of its own
        if isinstance(stand_in, type):
            return stand_in if stand_in in _UNCHANGEABLE else type(stand_in.__name__, (stand_in,), {})
        return partial(stand_in) if callable(stand_in) else stand_in


def resolve(value: Any, unwrap: Callable[[tuple], Any] = tuple) -> Any:
    """Replace what was deferred by arrays, in dictionaries, lists and tuples, and each tuple by ``unwrap`` of it."""
    return _resolve(value, unwrap, {})


def _resolve(value: Any, unwrap: Callable[[tuple], Any], known: dict[int, Any]) -> Any:
    if isinstance(value, Deferred):
        return value.value()
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) not in known:  # shared parts once, or a small file could ask for endless work
        known[id(value)] = None  # a part that contains itself
        if isinstance(value, dict):
            known[id(value)] = {key: _resolve(item, unwrap, known) for key, item in value.items()}
        else:
            items = [_resolve(item, unwrap, known) for item in value]
            known[id(value)] = items if isinstance(value, list) else unwrap(tuple(items))
    return known[id(value)]


class _Dtype:
    def __init__(self, name: str, *_: Any) -> None:
        if not NUMERIC.match(name):
            raise RefusedError(f"it holds an array of type {name!r}; only numbers are read")
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.name)


class _Array(Deferred):
    def __init__(self, *_: Any) -> None:
        self.numbers = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, str)):
            raise RefusedError("it holds an array of objects; only numbers are read")
        data = data if isinstance(data, bytes) else data.encode("latin1")
        if any(size < 0 for size in shape):
            raise ValueError(f"an array has the shape {shape}")
        self.numbers = np.frombuffer(data, dtype.dtype()).reshape(shape, order="F" if fortran else "C")

    def value(self) -> np.ndarray:
        return self.numbers


def _scalar(dtype: _Dtype, data: bytes | str) -> np.generic:
    data = data if isinstance(data, bytes) else data.encode("latin1")
    return np.frombuffer(data, dtype.dtype())[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if codecs.lookup(encoding).name != "iso8859-1":
        raise RefusedError(f"it encodes a string as {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How protocol 2 writes the empty bytes."""
    return b""


def _both(module: str, name: str, stand_in: Callable) -> dict[tuple[str, str], Callable]:
    """NumPy 1 and NumPy 2 name their own modules differently."""
    return {(f"numpy.{core}.{module}", name): stand_in for core in ("core", "_core")}


_UNCHANGEABLE = (tuple, list, dict, set, OrderedDict)
_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): "ndarray",
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    **_both("multiarray", "_reconstruct", _Array),
    **_both("multiarray", "scalar", _scalar),
    **{
        (builtins, kind.__name__): kind for builtins in ("builtins", "__builtin__") for kind in (tuple, list, dict, set)
    },
}
