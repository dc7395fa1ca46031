"""Images in class folders, or named by a list file: ImageNet and one's own data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..utils.logger import get_logger
from .datasets import DATASETS, MOST_BROKEN
from .file_dataset import FileDataset
from .image_files import images_below, is_left_over, known_suffixes, read_image
from .text_lists import read_class_names, read_list, unused_labels


@DATASETS.register("ImageNet")
@DATASETS.register()
class ImageFolder(FileDataset):
    """Images as ``root/<class>/.../<image>``, or as a list file says.

    Item ``i`` is (PIL image, int); see `read_image` for what a file becomes, and `FileDataset` for one that cannot be
    read.

    Args:
        root: the folder.
        train: decides what is done about a broken image.
        list_file: text file with one ``path label`` per line, paths relative to ``root``; default: class folders.
        class_names: the names in the order of the labels, or a text file with one per line; default: the class
            folders in alphabetical order.
        image_mode: "RGB" or "L" (grey); images are converted.

    Raises:
        FileNotFoundError: the folder or the list file does not exist, it or one of its class folders has no image, or
            too many files of a list are missing.
        ValueError: a line of the list file that cannot be understood, or class names that are no names.
    """

    def __init__(
        self,
        root: str,
        train: bool = True,
        list_file: str | None = None,
        class_names: Sequence[str] | str | None = None,
        image_mode: str = "RGB",
    ) -> None:
        if image_mode not in ("RGB", "L"):
            raise ValueError(f"image_mode must be RGB or L, got {image_mode!r}")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(f"no image folder {self.root}: set the data set's root to the folder of the images")
        names = read_class_names(class_names) if class_names is not None else None
        if list_file is not None:
            self.files, self.labels, self.class_names = read_list(Path(list_file).expanduser(), self.root, names)
            _check_files(Path(list_file), self.root, self.files, train)
        else:
            self.files, self.labels, self.class_names = _from_folders(self.root, names)
        super().__init__(len(self.files), train)
        self.image_mode = image_mode
        self.num_classes = len(self.class_names)
        self.unused_labels = unused_labels(self.labels, self.num_classes)

    def read(self, index: int) -> tuple[Image.Image, int]:
        return read_image(self.root / self.files[index], self.image_mode), self.labels[index]

    def locate(self, index: int) -> str:
        return str(self.root / self.files[index])


def _from_folders(root: Path, class_names: Sequence[str] | None) -> tuple[list[str], list[int], list[str]]:
    """List the images below each class folder."""
    folders = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and not is_left_over(folder.name))
    names = list(class_names) if class_names is not None else folders
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = [os.path.relpath(file, root) for file in images_below(root / name)]
        if not found:
            raise FileNotFoundError(f"no images in the class folder {root / name}; known are {known_suffixes()}")
        files += found
        labels += [label] * len(found)
    if not files:
        raise FileNotFoundError(f"no images in {root}: expected {root}/<class>/<image>, with {known_suffixes()}")
    return files, labels, names


def _check_files(listed_in: Path, root: Path, files: Sequence[str], train: bool) -> None:
    """Say which files of a list are missing, before hours are spent on the rest."""
    missing = [file for file in files if not (root / file).is_file()]
    if not missing:
        return
    message = (
        f"{len(missing)} of the {len(files)} files that {listed_in} names are missing, such as {root / missing[0]}: "
        f"paths are relative to root, {root}"
    )
    if len(missing) == len(files) or (not train and len(missing) > MOST_BROKEN * len(files)):
        raise FileNotFoundError(message)
    get_logger().warning(message)
