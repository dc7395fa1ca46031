"""Weight files of every kind, told apart by how they begin, and read without running anything that is in them."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..utils import unpickling
from . import mxnet_file, torch_file
from .paddle_file import read_paddle

DAMAGED = (*unpickling.DAMAGED, zlib.error, zipfile.BadZipFile, tarfile.TarError, SafetensorError)


def read_file(path: str | Path) -> Any:
    """Read a file of weights, tensors as NumPy arrays.

    Known are Paddle's pickles (``.pdparams``, ``.pdopt``), safetensors, PyTorch's checkpoints (zip, and the format
    before 1.6), MXNet's ``.params``, and a tar with one ``.params`` in it.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: it is damaged, of another kind, or a pickle that asks for more than weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weight file at {path}")
    try:
        return _reader(path)(path)
    except DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise RuntimeError(f"cannot read {path}: it is damaged, or not a file of weights ({reason})") from None


def _reader(path: Path) -> Callable[[Path], Any]:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return torch_file.read_zip
    if head.startswith(torch_file.LEGACY_MAGIC):
        return torch_file.read_legacy
    if head.startswith(mxnet_file.MAGIC):
        return lambda path: mxnet_file.read_params(path.read_bytes())
    if head.startswith(b"\x80"):
        return read_paddle
    if head[8:9] == b"{":
        return load_file
    if tarfile.is_tarfile(path):
        return _read_tar
    raise ValueError("it begins like none of the kinds that are known" if head else "it is empty")


def _read_tar(path: Path) -> dict[str, np.ndarray]:
    """Read the one ``.params`` of an archive, which is never unpacked: nothing is written anywhere."""
    with tarfile.open(path, "r:") as archive:  # not compressed: a small file cannot become a huge one
        members = [member for member in archive if member.isreg() and member.name.endswith(".params")]
        if len(members) != 1:
            raise ValueError(f"it has {len(members)} files .params, expected one")
        if members[0].size > path.stat().st_size:  # a sparse one
            raise ValueError(f"{members[0].name} is larger than the archive")
        return mxnet_file.read_params(archive.extractfile(members[0]).read())
