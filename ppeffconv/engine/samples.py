"""What is kept of the data: what a network must know to be used without it, and a few images, real ones to predict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from PIL import Image

from ..data import TransformedDataset, stack_images

COUNT = 8


def data_facts(dataset: TransformedDataset) -> dict[str, Any]:
    """Return what a network must know of its data to be used without it."""
    ((_, (image, _)),) = dataset.readable(1)
    return {
        "class_names": dataset.class_names,
        "image_mode": dataset.image_mode,
        "input_shape": list(image.shape),
    }


def save_samples(dataset: TransformedDataset, folder: Path) -> None:
    """Write the first images of ``dataset``, untransformed, as ``<number>_<class>.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, _ in dataset.readable(COUNT):
        image, label = dataset.dataset[index]
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        name = re.sub(r"[^\w-]+", "_", dataset.class_names[label])
        image.save(folder / f"{index}_{name}.png")


def save_pairs(dataset: TransformedDataset, folder: Path) -> None:
    """Write the first pairs of ``dataset``, untransformed, as PNG: the image, and the depth in mm, 16-bit."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, _ in dataset.readable(COUNT):
        image, depth = dataset.dataset[index]
        Image.fromarray(image).save(folder / f"{index}_image.png")
        Image.fromarray(np.round(1000 * depth).clip(0, 65535).astype(np.uint16)).save(folder / f"{index}_depth.png")


def input_images(dataset: TransformedDataset) -> paddle.Tensor:
    """Return the first images of ``dataset`` as the network sees them, [N, C, H, W]; ValueError if sizes differ."""
    return paddle.to_tensor(stack_images([sample[0] for _, sample in dataset.readable(COUNT)]))
