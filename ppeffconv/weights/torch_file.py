"""PyTorch's checkpoints without PyTorch: the zip format of 1.6 and later, and the one before."""

from __future__ import annotations

import pickle
import struct
import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..utils.unpickling import Deferred, RefusedError, Unpickler, resolve
from .bfloat16 import from_bits

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # a pickle of one large number
BFLOAT16 = "bfloat16"
STORAGES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": BFLOAT16,
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}


def read_zip(path: Path) -> Any:
    """Read a checkpoint in the zip format; tensors as NumPy arrays, bfloat16 as float32."""
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")
        order = (
            ">"
            if f"{folder}byteorder" in archive.namelist() and _member(archive, f"{folder}byteorder") == b"big"
            else "<"
        )
        storages: dict[str, _Storage] = {}

        def storage(kind: str, key: str, count: int) -> _Storage:
            if key not in storages:
                storages[key] = _Storage(kind, count)
                storages[key].fill(_member(archive, f"{folder}data/{key}"), order)
            return storages[key]

        with archive.open(pickled) as file:
            return resolve(_TorchUnpickler(file, storage).load())


def read_legacy(path: Path) -> Any:
    """Read a checkpoint in the format before 1.6: the object's pickle, then the numbers of its storages."""
    storages: dict[str, _Storage] = {}

    def storage(kind: str, key: str, count: int) -> _Storage:
        return storages.setdefault(key, _Storage(kind, count))

    with path.open("rb") as file:
        for _ in ("magic number", "version", "system"):
            Unpickler(file).load()
        value = _TorchUnpickler(file, storage).load()
        for key in Unpickler(file).load():
            (count,) = struct.unpack("<q", _exactly(file, 8))
            if count != storages[key].count:
                raise ValueError(f"a storage has {count} numbers instead of {storages[key].count}")
            storages[key].fill(_exactly(file, count * storages[key].item_size), "<")
    return resolve(value)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:  # PyTorch never compresses; a small file cannot become a huge one
        raise ValueError(f"{name} is compressed")
    return archive.read(info)


def _exactly(file: IO[bytes], count: int) -> bytes:
    rest = Path(file.name).stat().st_size - file.tell()
    if not 0 <= count <= rest:
        raise ValueError(f"{count} bytes are announced where {rest} are left")
    return file.read(count)


class _Storage:
    """The numbers that tensors are views of."""

    def __init__(self, kind: str, count: int) -> None:
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"a storage has {count!r} numbers")
        self.kind, self.count, self.data = kind, count, None

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("it changes a storage after it was made")

    @property
    def item_size(self) -> int:
        return 2 if self.kind == BFLOAT16 else np.dtype(self.kind).itemsize

    def fill(self, data: bytes, order: str) -> None:
        if len(data) != self.count * self.item_size:
            raise ValueError(f"a storage has {len(data)} bytes instead of {self.count * self.item_size}")
        bfloat16 = self.kind == BFLOAT16
        self.data = np.frombuffer(data, order + ("u2" if bfloat16 else self.kind))
        if bfloat16:
            self.data = from_bits(self.data)


class _Tensor(Deferred):
    """A view of a storage: ``_rebuild_tensor`` (PyTorch 0.3), and ``_rebuild_tensor_v2`` with more arguments."""

    def __init__(self, storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> None:
        if not isinstance(storage, _Storage):
            raise RefusedError("it holds a tensor without a storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def value(self) -> np.ndarray:
        numbers = (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise ValueError(f"a tensor has offset {self.offset}, size {self.size} and stride {self.stride}")
        data, size, count = self.storage.data, self.size, prod(self.size)
        if data is None:
            raise ValueError("the numbers of a tensor are missing")
        last = self.offset + sum((n - 1) * step for n, step in zip(size, self.stride))
        if count > len(data) or (
            count and last >= len(data)
        ):  # a stride of 0 could make a huge tensor out of a small one
            raise ValueError(f"a tensor of size {size} exceeds its storage of {len(data)} numbers")
        if not count:
            return np.zeros(size, data.dtype)
        steps = [step * data.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset :], size, steps).copy()


class _Nothing:
    """In the place of a record of command line options: it is of no use here, and makes nothing happen."""

    def __setstate__(self, state: Any) -> None:
        pass


class _TorchUnpickler(Unpickler):
    def __init__(self, file: IO[bytes], storage: Any) -> None:
        super().__init__(file, _STAND_INS)
        self._storage = storage

    def persistent_load(self, pid: Any) -> _Storage:
        if (
            not isinstance(pid, tuple)
            or len(pid) not in (5, 6)
            or pid[0] != "storage"
            or (pid[5:] not in ((), (None,)))
        ):
            raise pickle.UnpicklingError(f"unknown kind of storage {str(pid)[:80]}")
        _, kind, key, _, count = pid[:5]
        return self._storage(kind, str(key), count)


def _parameter(data: _Tensor, *_: Any) -> _Tensor:
    return data


_STAND_INS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor"): _Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): tuple,
    ("argparse", "Namespace"): _Nothing,
    **{("torch", f"{name}Storage"): kind for name, kind in STORAGES.items()},
}
