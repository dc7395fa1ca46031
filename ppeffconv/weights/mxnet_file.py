"""MXNet's .params files: a list of arrays, then the list of their names.

As in MXNet's src/ndarray/ndarray.cc, which has changed the head of an array four times; all numbers little-endian:

    file    uint64 0x112, uint64 0, uint64 n, n arrays, uint64 n (or 0), n times (uint64 length, bytes)
    array   version, shape, int32 device type, int32 device number, int32 element type, elements
    version and shape
      1, 2, 3   uint32 0xF993FAC8 and so on; 2 and 3: int32 storage type, 0 is dense; int32 rank, rank times int64
      oldest    uint32 rank, rank times uint32
    empty   an array that was never filled ends after its shape: rank 0 or, in 3, an unknown (negative) rank or size
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from .bfloat16 import from_bits

MAGIC = struct.pack("<Q", 0x112)
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
MOST_DIMENSIONS = 32
BFLOAT16 = 12
TYPES = {0: "f4", 1: "f8", 2: "f2", 3: "u1", 4: "i4", 5: "i1", 6: "i8", 7: "b1", 8: "i2", BFLOAT16: "u2"}


def read_params(data: bytes) -> dict[str, np.ndarray]:
    """Read a whole file; bfloat16 as float32. Arrays without names are called "0", "1", and so on.

    Raises:
        ValueError: it is damaged, or has sparse arrays.
    """
    source = _Source(data)
    if source.take(8) != MAGIC or source.number("Q") != 0:
        raise ValueError("it does not begin as a file of MXNet does")
    count = source.count(smallest=4)
    arrays = [_array(source) for _ in range(count)]
    names = [_name(source) for _ in range(source.count(smallest=8))] or list(map(str, range(count)))
    if source.left:
        raise ValueError(f"{source.left} bytes follow its end")
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"it has {count} arrays and {len(set(names))} different names")
    return {name: array for name, array in zip(names, arrays) if array is not None}


def _array(source: _Source) -> np.ndarray | None:
    version = source.number("I")
    shape = _shape(source, version)
    if shape is None:
        return None
    source.take(8)  # the device that it was on
    code = source.number("i")
    if code not in TYPES:
        raise ValueError(f"an array has the unknown element type {code}")
    dtype = np.dtype("<" + TYPES[code])
    values = np.frombuffer(source.take(prod(shape) * dtype.itemsize), dtype).reshape(shape)
    return from_bits(values) if code == BFLOAT16 else values


def _shape(source: _Source, version: int) -> tuple[int, ...] | None:
    """Read a shape; None for an array that was never filled."""
    if version in (V2, V3):
        kind = source.number("i")
        if kind:
            raise ValueError(f"an array is sparse (storage type {kind}); only dense ones are read")
    modern = version in (V1, V2, V3)
    rank = source.number("i") if modern else version
    if rank > MOST_DIMENSIONS:
        raise ValueError(
            f"an array has {rank} dimensions" if modern else f"an array has the unknown version {version:#x}"
        )
    shape = tuple(source.number("q" if modern else "I") for _ in range(rank))
    if version == V3:
        return None if rank < 0 or any(size < 0 for size in shape) else shape
    if rank < 0 or any(size < 0 for size in shape):
        raise ValueError(f"an array has the shape {shape} (rank {rank})")
    return shape or None


def _name(source: _Source) -> str:
    return source.take(source.count(smallest=1)).decode("utf-8")


class _Source:
    """Takes numbers and bytes from the front, never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = memoryview(data), 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError(f"it ends {count - self.left} bytes too early")
        begin, self._position = self._position, self._position + count
        return self._data[begin : self._position].tobytes()

    def number(self, kind: str) -> int:
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]

    def count(self, smallest: int) -> int:
        """A number of items that have so many bytes at least."""
        count = self.number("Q")
        if count * smallest > self.left:
            raise ValueError(f"it announces {count} items where {self.left} bytes are left")
        return count
