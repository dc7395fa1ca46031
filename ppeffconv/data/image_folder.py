"""Images in class folders, or named by a list file: ImageNet and one's own data."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from paddle.io import Dataset
from PIL import Image

from ..utils.logger import get_logger
from .datasets import DATASETS

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what PIL raises for a broken file
BLANK_SIZE = (256, 256)


@DATASETS.register("ImageNet")
@DATASETS.register()
class ImageFolder(Dataset):
    """Images as ``root/<class>/.../<image>``, or as a list file says.

    Item ``i`` is (PIL image, int). A file that cannot be read is reported with its path and counted in ``broken``; for
    training the next readable image takes its place, for evaluation a black image does, so that it stays in the count
    of samples instead of vanishing from it.

    Args:
        root: the folder.
        train: decides what stands in for a broken image.
        list_file: text file with one ``path label`` per line, paths relative to ``root``; default: class folders.
        class_names: the names in the order of the labels, or a text file with one per line; default: the class
            folders in alphabetical order.
        image_mode: "RGB" or "L" (grey); images are converted.

    Raises:
        FileNotFoundError: the folder or the list file does not exist, or it or one of its class folders has no image.
        ValueError: a line of the list file that cannot be understood.
    """

    def __init__(
        self,
        root: str,
        train: bool = True,
        list_file: str | None = None,
        class_names: Sequence[str] | str | None = None,
        image_mode: str = "RGB",
    ) -> None:
        super().__init__()
        if image_mode not in ("RGB", "L"):
            raise ValueError(f"image_mode must be RGB or L, got {image_mode!r}")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(f"no image folder {self.root}: set the data set's root to the folder of the images")
        if isinstance(class_names, str):
            class_names = [name for name in _lines(Path(class_names).expanduser()) if name]
        if list_file is not None:
            self.files, self.labels, self.class_names = _from_list(Path(list_file).expanduser(), class_names)
        else:
            self.files, self.labels, self.class_names = _from_folders(self.root, class_names)
        self.train = train
        self.image_mode = image_mode
        self.num_classes = len(self.class_names)
        self._broken = mmap.mmap(-1, len(self.files))  # one byte per file, shared with the loader's worker processes

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        for step in range(len(self) if self.train else 1):
            candidate = (index + step) % len(self)
            image = self._read(candidate)
            if image is not None:
                return image, self.labels[candidate]
        if self.train:
            raise ValueError(f"none of the {len(self)} images in {self.root} can be read")
        return Image.new(self.image_mode, BLANK_SIZE), self.labels[index]

    @property
    def broken(self) -> list[str]:
        """Paths of the files that could not be read so far."""
        return [str(self.root / self.files[index]) for index in np.flatnonzero(np.frombuffer(self._broken, np.uint8))]

    def verify(self) -> list[str]:
        """Read every file once and return the paths of the broken ones."""
        for index in range(len(self)):
            self._read(index)
        return self.broken

    def _read(self, index: int) -> Image.Image | None:
        """Return the image, or None (reported the first time) if its file is missing or broken."""
        path = self.root / self.files[index]
        try:
            with Image.open(path) as image:
                return image.convert(self.image_mode)
        except UNREADABLE as error:
            if not self._broken[index]:
                self._broken[index] = 1
                instead = "the next readable image is used" if self.train else "it is evaluated as a black image"
                get_logger().warning(f"broken image {path} ({error}); {instead}; {sum(self._broken[:])} broken so far")
            return None


Listing = tuple[list[str], list[int], list[str]]  # files, their labels, the class names


def _from_folders(root: Path, class_names: Sequence[str] | None) -> Listing:
    """List the images below each class folder."""
    folders = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    names = list(class_names) if class_names is not None else folders
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = _images_below(root / name, root)
        if not found:
            raise FileNotFoundError(f"no images in the class folder {root / name}; known are {_known()}")
        files += found
        labels += [label] * len(found)
    if not files:
        raise FileNotFoundError(f"no images in {root}: expected {root}/<class>/<image>, with {_known()}")
    return files, labels, names


def _images_below(folder: Path, root: Path) -> list[str]:
    """Return the paths, relative to ``root``, of all images in ``folder`` and its folders, in alphabetical order."""
    found: list[str] = []
    for place, _, members in os.walk(folder, followlinks=True):
        below = os.path.relpath(place, root)
        found += [os.path.join(below, name) for name in members if name.lower().endswith(EXTENSIONS)]
    return sorted(found)


def _from_list(path: Path, class_names: Sequence[str] | None) -> Listing:
    """Read a list file; paths may hold spaces, the label is the last word of a line."""
    files: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        if not line:
            continue
        *name, label = line.rsplit(None, 1)
        if not name or not label.isdecimal():
            raise ValueError(f"{path}, line {number}: expected 'path label' with a whole number >= 0, got {line!r}")
        if class_names is not None and int(label) >= len(class_names):
            raise ValueError(f"{path}, line {number}: label {label}, but there are {len(class_names)} class names")
        files += name
        labels.append(int(label))
    if not files:
        raise FileNotFoundError(f"no images in the list file {path}")
    names = list(class_names) if class_names is not None else [str(label) for label in range(max(labels) + 1)]
    return files, labels, names


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8") from None


def _known() -> str:
    return f"files ending in {', '.join(EXTENSIONS)}"
