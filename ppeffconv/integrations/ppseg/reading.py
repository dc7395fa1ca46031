"""Reading what PaddleSeg's file lists name: any kind of image, and what is bad is skipped and counted, or named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from paddle.io import Dataset
from paddleseg.utils import logger

from ...data import image_files
from ...data.image_files import UnreadableImageError

SHOWN = 5  # file names in a message


class CheckedReading:
    """Stands before a data set's transforms: reads its image and its label and checks them, then calls the transforms.

    PaddleSeg's own reader fails on a missing file without its name, trains on the grey rest of a truncated one, and
    leaves labels out of range to the loss, whose kernel only knows the number.

    Args:
        transforms: PaddleSeg's ``Compose``.
        num_classes, ignore_index: of the labels.

    Raises (when called):
        UnreadableImageError: a file is damaged.
        ValueError: labels that are no classes, or not of the image's size.
    """

    def __init__(self, transforms: Callable[[dict], dict], num_classes: int = 256, ignore_index: int = 255) -> None:
        self.transforms, self.num_classes, self.ignore_index = transforms, num_classes, ignore_index

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        path, label_path = data["img"], data.get("label")
        data["img"] = read_image(path, self.transforms.img_channels)
        if isinstance(label_path, str):
            data["label"] = read_labels(label_path, self.num_classes, self.ignore_index)
            if data["label"].shape != data["img"].shape[:2]:
                raise ValueError(
                    f"image and label must have one size: {path} has {_size(data['img'])}, "
                    f"{label_path} {_size(data['label'])} (width x height)"
                )
        return self.transforms(data)


class SkippingUnreadable(Dataset):
    """A training set in which the next readable sample takes the place of one that is damaged.

    Args:
        dataset: one of PaddleSeg's, which reads by `CheckedReading`.
        log: a file that gets a line for each damaged sample that was met, also from a loader's worker processes.

    Raises (when indexed):
        RuntimeError: no sample can be read.
    """

    def __init__(self, dataset: Dataset, log: Path) -> None:
        super().__init__()
        self.dataset, self.log = dataset, log

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        for offset in range(len(self)):
            try:
                return self.dataset[(index + offset) % len(self)]
            except UnreadableImageError as error:
                self._note(str(error))
        raise RuntimeError(f"none of the {len(self)} samples can be read; they are listed in {self.log}")

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not there yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def _note(self, problem: str) -> None:
        if problem not in skipped(self.log):
            logger.warning(f"skipped: {problem}")
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{problem}\n")


def skipped(log: Path) -> list[str]:
    """The damaged samples that a training has met, each once."""
    return sorted(set(log.read_text(encoding="utf-8").splitlines())) if log.is_file() else []


def check_dataset(dataset: Dataset, train: bool, log: Path) -> Dataset:
    """Make a data set of PaddleSeg's read by `CheckedReading`, and look whether its files are there.

    In training, samples with a missing or damaged file are left out with a count. In evaluation they are an error,
    because a metric on the rest would be that of another set.

    Args:
        dataset: with ``file_list`` and ``transforms``, as all of PaddleSeg's have; changed in place.
        log: see `SkippingUnreadable`.

    Raises:
        FileNotFoundError: files are missing, and the set is for evaluation or has no other.
    """
    dataset.transforms = CheckedReading(dataset.transforms, dataset.num_classes, dataset.ignore_index)
    missing = [path for pair in dataset.file_list for path in pair if path is not None and not Path(path).is_file()]
    if missing:
        named = f"{', '.join(missing[:SHOWN])}{', ...' if len(missing) > SHOWN else ''}"
        message = f"{len(missing)} of the files that the list of the {dataset.mode} set names are missing: {named}"
        gone = set(missing)
        dataset.file_list = [pair for pair in dataset.file_list if gone.isdisjoint(pair)]
        if not train or not dataset.file_list:
            raise FileNotFoundError(f"{message}. Paths are relative to dataset_root, {dataset.dataset_root}")
        logger.warning(f"{message}. Training goes on with {len(dataset.file_list)} samples")
    return SkippingUnreadable(dataset, log) if train else dataset


def read_image(path: str, channels: int) -> np.ndarray:
    """Read an image as PaddleSeg's transforms take it: float32 in 0 to 255, [H, W, 3] in BGR, or [H, W] for 1 channel.

    What a file becomes is said in `data.image_files`.

    Raises:
        UnreadableImageError: the file is truncated, damaged or no image.
    """
    pixels = np.asarray(image_files.read_image(path, "RGB" if channels == 3 else "L"), dtype=np.float32)
    return np.ascontiguousarray(pixels[..., ::-1]) if channels == 3 else pixels


def read_labels(path: str, num_classes: int, ignore_index: int) -> np.ndarray:
    """Read labels [H, W] as uint8.

    Raises:
        UnreadableImageError: the file is truncated, damaged or no image.
        ValueError: it is a colour image, or has values that are neither a class nor ``ignore_index``.
    """
    labels = image_files.read_values(path)
    if labels.ndim != 2:
        raise ValueError(
            f"label {path} is a colour image {list(labels.shape)}; expected one value per pixel, 0 to {num_classes - 1}"
        )
    values = np.unique(labels)
    wrong = [int(value) for value in values if value != ignore_index and not 0 <= value < num_classes]
    if wrong:
        raise ValueError(
            f"label {path} has the values {wrong[:SHOWN]}, which are neither a class (num_classes is {num_classes}: 0 "
            f"to {num_classes - 1}) nor ignore_index {ignore_index}. Correct the labels or num_classes"
        )
    return labels.astype(np.uint8)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
