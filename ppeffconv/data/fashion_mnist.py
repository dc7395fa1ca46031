"""Fashion-MNIST, read from its idx files: a local folder, Debian's package, or Paddle's download."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from paddle.vision.datasets import FashionMNIST as PaddleFashionMNIST

from .datasets import DATASETS, ArrayDataset
from .sources import data_home, find_folder, paddle_download

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
CLASS_NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
HOW_TO_GET = (
    "On Debian: `apt-get install dataset-fashion-mnist`, or without root"
    " `apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb DIR`"
    " and give the data set `root: DIR` (or set PPEFFCONV_DATA=DIR)"
)


@DATASETS.register()
class FashionMNIST(ArrayDataset):
    """Fashion-MNIST: grey 28x28 images of clothes, 10 classes, 60000 for training and 10000 for evaluation.

    Args:
        root: folder with the idx files (``.gz`` or not), directly, in ``fashion-mnist`` or as Debian's package
            unpacks; default: ``$PPEFFCONV_DATA`` or ``dataset``, then the installed Debian package.
        train: the training or the evaluation part.
        download: fetch the files with Paddle's downloader if they are nowhere (only without ``root``).

    Raises:
        FileNotFoundError: the files are nowhere; the message says how to get them.
        ValueError: a file is damaged; the message names it.
    """

    def __init__(self, root: str | None = None, train: bool = True, download: bool = True) -> None:
        image_file, label_file = _locate(root, train, download)
        images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
        if len(images) != len(labels):
            raise ValueError(f"{image_file} has {len(images)} images, but {label_file} has {len(labels)} labels")
        if len(labels) == 0 or labels.max() >= len(CLASS_NAMES):
            raise ValueError(f"{label_file} must hold labels 0 to 9. {HOW_TO_GET}")
        super().__init__(images[..., None], labels, CLASS_NAMES)


def _locate(root: str | None, train: bool, download: bool) -> tuple[Path, Path]:
    """Return the paths of the image and the label file."""
    part = "train" if train else "t10k"
    names = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
    home = Path(root).expanduser() if root is not None else data_home()
    folders = [home, home / "fashion-mnist", home / SYSTEM_FOLDER.relative_to("/")]
    if root is None:
        folders.append(SYSTEM_FOLDER)
    for suffix in (".gz", ""):
        folder = find_folder([name + suffix for name in names], folders)
        if folder is not None:
            return folder / (names[0] + suffix), folder / (names[1] + suffix)
    failure = ""
    if root is None and download:
        try:
            return _download(train)
        except (RuntimeError, OSError) as error:
            failure = f"; the download failed: {error}"
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no Fashion-MNIST: {names[0]}.gz is in none of {looked}{failure}. {HOW_TO_GET}")


def _download(train: bool) -> tuple[Path, Path]:
    paddle_class = PaddleFashionMNIST
    part = "TRAIN" if train else "TEST"
    image_file, label_file = (
        paddle_download(
            getattr(paddle_class, f"{part}_{kind}_URL"),
            getattr(paddle_class, f"{part}_{kind}_MD5"),
            paddle_class.NAME,
        )
        for kind in ("IMAGE", "LABEL")
    )
    return image_file, label_file


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read an idx file of unsigned bytes (the MNIST format), gzipped if its name ends in ``.gz``.

    Args:
        path: the file.
        ndim: the number of axes it must have: 3 for images, 1 for labels.

    Raises:
        ValueError: it is not such a file, or it is damaged or incomplete.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): remove it and get it again. {HOW_TO_GET}") from None
    header = 4 * (1 + ndim)
    if len(content) < header:
        raise ValueError(f"{path} is damaged: {len(content)} bytes are too few. {HOW_TO_GET}")
    magic, *shape = struct.unpack(f">{1 + ndim}I", content[:header])
    if magic != 0x0800 + ndim:  # 08 stands for unsigned bytes, the last byte for the number of axes
        raise ValueError(f"{path} is not an idx file with {ndim} axes: it starts with {magic:#x}. {HOW_TO_GET}")
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"{path} is damaged: it should hold {math.prod(shape)} bytes after its header,"
            f" but has {len(content) - header}. {HOW_TO_GET}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
