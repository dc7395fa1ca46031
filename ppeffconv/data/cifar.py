"""CIFAR-10 and CIFAR-100, from the archives that Paddle uses, read without running what is in their pickles."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from paddle.vision.datasets import cifar as paddle_cifar

from ..utils import unpickling
from .datasets import DATASETS, ArrayDataset
from .sources import data_home, find_folder, paddle_download

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
DAMAGED = (*unpickling.DAMAGED, tarfile.TarError, OSError, zlib.error)


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
        part = "data_batch" if train else "test_batch"
        super().__init__(*_guarded(lambda path: _images(path, part, "labels"), archive, url), CIFAR10_NAMES)


@DATASETS.register()
class Cifar100(ArrayDataset):
    """CIFAR-100: as ``Cifar10``, with 100 classes and the archive ``cifar-100-python.tar.gz``."""

    def __init__(self, root: str | None = None, train: bool = True, download: bool = True) -> None:
        url, md5 = paddle_cifar.CIFAR100_URL, paddle_cifar.CIFAR100_MD5
        archive = _locate(root, url, md5, download)
        names = _guarded(_class_names, archive, url)
        part = "train" if train else "test"
        super().__init__(*_guarded(lambda path: _images(path, part, "fine_labels"), archive, url), names)


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


def _images(archive: Path, part: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images [N, 32, 32, 3] and their labels, of the files whose names begin with ``part``."""
    batches = list(_members(archive, part))
    if not batches:
        raise ValueError(f"it has no {part}")
    pixels = np.concatenate([batch["data"] for batch in batches]).astype(np.uint8, casting="safe")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    numbers = np.array([label for batch in batches for label in batch[labels]], np.int64)
    if len(numbers) != len(images):
        raise ValueError(f"it has {len(images)} images and {len(numbers)} labels")
    return np.ascontiguousarray(images), numbers


def _class_names(archive: Path) -> list[str]:
    (meta,) = _members(archive, "meta")
    return meta["fine_label_names"]


def _members(archive: Path, part: str) -> Iterator[dict[str, Any]]:
    """Read the files of an archive whose names begin with ``part``, in alphabetical order."""
    with tarfile.open(archive) as files:
        chosen = [member for member in files if member.isreg() and Path(member.name).name.startswith(part)]
        for member in sorted(chosen, key=lambda member: member.name):
            yield unpickling.resolve(unpickling.Unpickler(files.extractfile(member)).load())


def _guarded(load: Callable, archive: Path, url: str) -> tuple:
    """Call ``load(archive)``; whatever a damaged archive makes it raise becomes one ValueError that names the file."""
    try:
        return load(archive)
    except DAMAGED as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(":")  # tarfile lists every format it tried
        raise ValueError(f"{archive} is damaged or of another kind ({reason}): get it again from {url}") from None
