"""Handwritten digits: 1797 real 8x8 scans that come with scikit-learn, so nothing is downloaded."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from .datasets import DATASETS, ArrayDataset

SPLIT_SEED = 42
TRAIN_SHARE = 0.8


@DATASETS.register()
class Digits(ArrayDataset):
    """scikit-learn's digits, enlarged bilinearly, 80/20 split with a fixed seed (1437 / 360 images, 10 classes).

    Args:
        train: the 80 % or the 20 %.
        size: height and width of the images, in pixels.
    """

    def __init__(self, train: bool = True, size: int = 32) -> None:
        if type(size) is not int or size < 1:
            raise ValueError(f"dataset Digits: size must be a whole number > 0, got {size!r}")
        images, labels = _load(size)
        order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
        count = int(TRAIN_SHARE * len(labels))
        part = order[:count] if train else order[count:]
        super().__init__(images[part], labels[part], [str(digit) for digit in range(10)])


@lru_cache(maxsize=2)
def _load(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all images, uint8 [1797, size, size, 1], and their labels."""
    from sklearn.datasets import load_digits  # takes a second to import, and only this data set needs it

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)  # the scans have 17 grey levels
    images = [np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR)) for image in grey]
    return np.stack(images)[..., None], data.target
