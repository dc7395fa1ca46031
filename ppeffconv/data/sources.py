"""Where data files are looked for, and Paddle's download as the last resort."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import paddle
from filelock import FileLock


def data_home() -> Path:
    """Return the folder for data sets: ``$PPEFFCONV_DATA``, else ``dataset`` in the working directory."""
    return Path(os.environ.get("PPEFFCONV_DATA") or "dataset").expanduser()


def find_folder(names: Iterable[str], folders: Sequence[Path]) -> Path | None:
    """Return the first folder that holds all the named files, or None."""
    names = list(names)
    return next((folder for folder in folders if all((folder / name).is_file() for name in names)), None)


def paddle_download(url: str, md5: str, module: str) -> Path:
    """Return Paddle's own copy of a data file (in ~/.cache/paddle), downloading it unless it is there and intact.

    Raises:
        RuntimeError: there is no copy and the download failed.
    """
    folder = Path(paddle.dataset.common.DATA_HOME) / module
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "download.lock"):  # Paddle writes in place: two ranks would spoil each other's file
        return Path(paddle.dataset.common.download(url, module, md5))
