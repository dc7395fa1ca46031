"""CIFAR-10 and CIFAR-100, from the archives that Paddle uses and with Paddle's own reader."""

from __future__ import annotations

import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from paddle.vision.datasets import Cifar10 as PaddleCifar10
from paddle.vision.datasets import Cifar100 as PaddleCifar100
from paddle.vision.datasets import cifar as paddle_cifar

from .datasets import DATASETS, ArrayDataset
from .sources import data_home, find_folder, paddle_download

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
DAMAGED = (tarfile.TarError, OSError, EOFError, zlib.error, pickle.UnpicklingError, LookupError, ValueError, TypeError)


@DATASETS.register()
class Cifar10(ArrayDataset):
    """CIFAR-10: RGB 32x32, 10 classes, 50000 images for training and 10000 for evaluation.

    Args:
        root: ``cifar-10-python.tar.gz`` or the folder that holds it; default: ``$PPEFFCONV_DATA`` or ``dataset``.
        train: the training or the evaluation part.
        download: fetch the archive with Paddle's downloader if it is nowhere (only without ``root``).

    Raises:
        FileNotFoundError: the archive is nowhere; the message says how to get it.
        ValueError: the archive is damaged; the message names it.
    """

    def __init__(self, root: str | None = None, train: bool = True, download: bool = True) -> None:
        url, md5 = paddle_cifar.CIFAR10_URL, paddle_cifar.CIFAR10_MD5
        archive = _locate(root, url, md5, download)
        super().__init__(*_read(PaddleCifar10, archive, url, train), CIFAR10_NAMES)


@DATASETS.register()
class Cifar100(ArrayDataset):
    """CIFAR-100: as ``Cifar10``, with 100 classes and the archive ``cifar-100-python.tar.gz``."""

    def __init__(self, root: str | None = None, train: bool = True, download: bool = True) -> None:
        url, md5 = paddle_cifar.CIFAR100_URL, paddle_cifar.CIFAR100_MD5
        archive = _locate(root, url, md5, download)
        names = _guarded(_class_names, archive, url)
        super().__init__(*_read(PaddleCifar100, archive, url, train), names)


def _locate(root: str | None, url: str, md5: str, download: bool) -> Path:
    """Return the path of the archive, which is the last part of ``url``."""
    name = url.rpartition("/")[2]
    home = Path(root).expanduser() if root is not None else data_home()
    if root is not None and home.is_file():
        return home
    folder = find_folder([name], [home, home / "cifar"])
    if folder is not None:
        return folder / name
    failure = ""
    if root is None and download:
        try:
            return paddle_download(url, md5, "cifar")
        except (RuntimeError, OSError) as error:
            failure = f"; the download failed: {error}"
    raise FileNotFoundError(
        f"no {name} in {home} or {home / 'cifar'}{failure}."
        f" Get it from {url} and give the data set `root: DIR` (or set PPEFFCONV_DATA=DIR)"
    )


def _read(reader: type[PaddleCifar10], archive: Path, url: str, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images [N, 32, 32, 3] and their labels."""

    def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
        rows = reader(data_file=str(path), mode="train" if train else "test", backend="pil").data
        images = np.stack([pixels for pixels, _ in rows]).reshape(-1, 3, 32, 32)
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), np.array([label for _, label in rows])

    return _guarded(load, archive, url)


def _class_names(archive: Path) -> list[str]:
    with tarfile.open(archive) as files:
        meta = pickle.load(files.extractfile("cifar-100-python/meta"), encoding="latin1")
    return meta["fine_label_names"]


def _guarded(load: Callable, archive: Path, url: str) -> tuple:
    """Call ``load(archive)``; whatever a damaged archive makes it raise becomes one ValueError that names the file."""
    try:
        return load(archive)
    except DAMAGED as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(":")  # tarfile lists every format it tried
        raise ValueError(f"{archive} is damaged or of another kind ({reason}): get it again from {url}") from None
