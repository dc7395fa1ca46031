"""What the data sets share: their registry, images held in memory, and checks against the configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from paddle.io import Dataset

from ..registry import Registry, check_arguments

DATASETS = Registry("dataset")


class ArrayDataset(Dataset):
    """Images and labels in memory.

    Args:
        images: uint8 [N, H, W, C] with C = 1 (grey) or 3 (RGB).
        labels: whole numbers [N], each below the number of classes.
        class_names: one name per class.

    Item ``i`` is (uint8 [H, W, C], int). Every data set also has ``num_classes``, ``class_names`` and ``image_mode``
    ("L" or "RGB").
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
        super().__init__()
        self.images = images
        self.labels = labels
        self.class_names = list(class_names)
        self.num_classes = len(self.class_names)
        self.image_mode = "L" if images.shape[-1] == 1 else "RGB"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.images[index], int(self.labels[index])


def build_dataset(cfg: Mapping[str, Any], train: bool) -> Dataset:
    """Build a data set from its block of the configuration: its name and its arguments.

    Args:
        cfg: ``{name: Digits, size: 32}``. A ``train`` in it wins over the next argument.
        train: the part for training or the one for evaluation.

    Raises:
        ValueError: an unknown name or argument, a missing argument, or damaged data.
        FileNotFoundError: the data is not there; the message says how to get it.
    """
    arguments = {"train": train, **cfg}
    name = arguments.pop("name")
    factory = DATASETS.get(name)
    check_arguments(factory, arguments, f"dataset {name}")
    try:
        inspect.signature(factory).bind(**arguments)
        return factory(**arguments)
    except TypeError as error:
        raise ValueError(f"dataset {name}: {error}") from error


def check_num_classes(cfg: Mapping[str, Any], dataset: Dataset) -> None:
    """Raise ValueError if the network of ``cfg`` has another number of classes than ``dataset``."""
    wanted = cfg["Arch"]["num_classes"]
    if wanted != dataset.num_classes:
        raise ValueError(
            f"Arch.num_classes is {wanted}, but the data has {dataset.num_classes} classes"
            f" ({', '.join(dataset.class_names[:5])}{', ...' if dataset.num_classes > 5 else ''}):"
            f" set Arch.num_classes={dataset.num_classes} or use other data"
        )


def check_same_classes(train: Dataset, evaluation: Dataset) -> None:
    """Raise ValueError if two data sets number their classes differently, so that accuracy would mean nothing."""
    if list(train.class_names) != list(evaluation.class_names):
        odd = sorted(set(train.class_names) ^ set(evaluation.class_names))
        raise ValueError(
            f"the training data has {train.num_classes} classes and the evaluation data {evaluation.num_classes}, and "
            + (f"only one of them has {', '.join(odd[:5])}" if odd else "their order differs")
            + ": give both the same class folders or the same class_names"
        )
