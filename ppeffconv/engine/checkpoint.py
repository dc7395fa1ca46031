"""Checkpoint folders: written beside the old one and swapped by rename, so that one whole checkpoint always exists.

A checkpoint holds ``model.pdparams`` and ``model.pdopt`` as Paddle users know them, ``ema.pdparams`` if weights were
averaged, and ``model.pdstates``: position in the run, best score, random generators, what must agree to resume.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import paddle

from ..weights import read_file

PARAMS = "model.pdparams"
OPTIMIZER = "model.pdopt"
EMA = "ema.pdparams"
STATES = "model.pdstates"


def save_checkpoint(folder: str | Path, contents: Mapping[str, Any]) -> None:
    """Write ``contents`` (file name -> what Paddle can save) as the checkpoint ``folder``, replacing the one there.

    Raises:
        OSError: it could not be written (a full disk); the checkpoint that was there is whole.
    """

    def write(temporary: Path) -> None:
        temporary.mkdir()
        for name, value in contents.items():
            paddle.save(value, str(temporary / name))

    _replace(Path(folder), write)


def copy_checkpoint(source: str | Path, folder: str | Path) -> None:
    """Make ``folder`` a copy of the checkpoint ``source``, by hard links where the disk has them.

    The files of a checkpoint are replaced, never changed, so sharing them is safe.

    Raises:
        OSError: it could not be written; the checkpoint that was at ``folder`` is whole.
    """
    _replace(Path(folder), lambda temporary: shutil.copytree(source, temporary, copy_function=_link_or_copy))


def find_checkpoint(folder: str | Path) -> Path | None:
    """Return where the checkpoint ``folder`` is: itself, or ``folder.old`` if a save was killed between two renames."""
    for path in (Path(folder), _old(Path(folder))):
        if (path / STATES).is_file():
            return path
    return None


def load_checkpoint(folder: str | Path) -> dict[str, Any]:
    """Read a checkpoint: file name -> content, tensors as NumPy arrays.

    Raises:
        FileNotFoundError: there is none.
        RuntimeError: a file in it is damaged.
    """
    path = find_checkpoint(folder)
    if path is None:
        raise FileNotFoundError(f"no checkpoint in {folder}: expected a folder with {PARAMS} and {STATES}")
    return {file.name: read_file(file) for file in sorted(path.iterdir()) if file.suffix.startswith(".pd")}


def _replace(folder: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` make a temporary folder, then put it in the place of ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = folder.with_name(f".{folder.name}.partial"), _old(folder)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a run that was killed while it wrote
    try:
        write(temporary)
        for path in (*temporary.iterdir(), temporary):
            _flush(path)
        if not folder.exists() and old.exists():
            os.rename(old, folder)
        shutil.rmtree(old, ignore_errors=True)
        _swap(temporary, folder, old)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _swap(temporary: Path, folder: Path, old: Path) -> None:
    """Rename; a kill between the two steps leaves ``old``, which ``find_checkpoint`` knows."""
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(temporary, folder)
    except OSError:
        if old.exists():
            os.rename(old, folder)
        raise


def _old(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _flush(path: Path) -> None:
    """Force a file or the names in a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
