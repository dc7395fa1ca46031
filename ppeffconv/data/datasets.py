"""What the data sets share: their registry, images held in memory, and checks against the configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from paddle.io import Dataset

from ..registry import Registry, check_arguments

DATASETS = Registry("dataset")
MOST_BROKEN = 0.01  # share of an evaluation set that may be unreadable


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
    wanted, found = cfg["Arch"]["num_classes"], dataset.num_classes
    if wanted == found:
        return
    unused = getattr(dataset, "unused_labels", [])
    if unused and unused[0] == 0 and len(unused) == found - wanted:
        raise ValueError(
            f"Arch.num_classes is {wanted}, but the labels go up to {found - 1}, and none is below {len(unused)}. "
            f"Labels count from 0 on: subtract {len(unused)} from each label of the list. Only if class 0 is to stay "
            f"without an image, set Arch.num_classes={found}"
        )
    gaps = f", of which {len(unused)} have no image (the first is {unused[0]})" if unused else ""
    raise ValueError(
        f"Arch.num_classes is {wanted}, but the data has {found} classes{gaps}"
        f" ({', '.join(dataset.class_names[:5])}{', ...' if found > 5 else ''}):"
        f" set Arch.num_classes={found} or use other data"
    )


def check_same_classes(train: Dataset, evaluation: Dataset) -> None:
    """Raise ValueError if two data sets number their classes differently, so that accuracy would mean nothing."""
    difference = describe_difference(
        train.class_names, evaluation.class_names, "the training data", "the evaluation data"
    )
    if difference:
        raise ValueError(f"{difference}: give both the same class folders or the same class_names")


def check_known_classes(known: Sequence[str], cfg: Mapping[str, Any], source: str) -> None:
    """Raise ValueError if the evaluation data of ``cfg`` number their classes otherwise than the weights do.

    Data that are not there cannot differ: prediction and export do without them.

    Args:
        known: the class names of the weights.
        cfg: a configuration.
        source: what the weights come from.
    """
    block = dict(cfg["DataLoader"]["Eval"]["dataset"])
    if "download" in inspect.signature(DATASETS.get(block["name"])).parameters:
        block["download"] = False
    try:
        found = build_dataset(block, train=False).class_names
    except FileNotFoundError:
        return
    difference = describe_difference(known, found, source, "the evaluation data")
    if difference:
        raise ValueError(
            f"{difference}, so every answer would be named wrong: rename the folders as they were, or name the classes "
            "in the order of the weights with DataLoader.Eval.dataset.class_names, or train anew"
        )


def describe_difference(names: Sequence[str], others: Sequence[str], who: str, whose: str) -> str:
    """Return in words how two lists of class names differ, "" if they do not."""
    names, others = list(names), list(others)
    if names == others:
        return ""
    sides = [(who, [n for n in names if n not in {*others}]), (whose, [n for n in others if n not in {*names}])]
    odd = [f"only {side} has {', '.join(only[:5])}{', ...' if len(only) > 5 else ''}" for side, only in sides if only]
    place = next((i for i, pair in enumerate(zip(names, others)) if pair[0] != pair[1]), min(len(names), len(others)))
    shift = [] if odd else [f"their order differs: class {place} is {names[place]} there and {others[place]} here"]
    return f"{who} has {len(names)} classes and {whose} {len(others)}, and {' and '.join(odd or shift)}"
