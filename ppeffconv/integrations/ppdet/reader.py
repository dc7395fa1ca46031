"""Images by the project's reader, and epochs that depend on the seed and their number alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...data.image_files import read_image
from ...engine.distributed import rank
from ...utils.logger import get_logger
from ...utils.rng import seed_everything


def read_sample(sample: dict[str, Any]) -> dict[str, Any]:
    """Read the image of a sample, in place of PaddleDetection's ``Decode``, which reads as OpenCV does.

    Boxes are in the coordinates of the size that the annotation notes; see `read_image` for images with an orientation.

    Args:
        sample: with ``im_file``, and perhaps ``h`` and ``w``.

    Returns:
        The sample with ``image``, uint8 [H, W, 3] in RGB, its size, and ``scale_factor``.

    Raises:
        UnreadableImageError: the file is truncated, damaged or no image.
    """
    file = sample.pop("im_file")
    noted = (int(sample["w"]), int(sample["h"])) if {"h", "w"} <= sample.keys() else None
    pixels = np.array(read_image(file, size=noted))
    height, width = pixels.shape[:2]
    if noted and noted != (width, height):
        get_logger().warning(f"{file} has {width}x{height} pixels, its annotation says {noted[0]}x{noted[1]}")
    if sample.get("keep_ori_im"):
        sample["ori_image"] = pixels[..., ::-1]
    return sample | {
        "image": pixels,
        "h": height,
        "w": width,
        "im_shape": np.array([height, width], np.float32),
        "scale_factor": np.ones(2, np.float32),
    }


class SeededEpochs:
    """PaddleDetection's training reader, with order and augmentation a function of seed and epoch.

    Its own reader begins anew in a resumed run with the first epoch's order, and fetches ahead of the epoch's begin,
    so that a resumed run would differ from an uninterrupted one.

    Args:
        reader: a ``TrainReader`` with its data set.
        seed: of the run.
        start_epoch: the first epoch to be read.
    """

    def __init__(self, reader: Any, seed: int, start_epoch: int = 0) -> None:
        self.dataset = reader.dataset
        self.epoch = start_epoch
        self._seed = seed
        self._batches = reader.dataloader
        self._sampler = reader._batch_sampler
        reader.loader = None  # what it has fetched

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        seed_everything(self._seed + 1_000_003 * self.epoch + 7_919 * rank())
        self._sampler.set_epoch(self._seed + self.epoch)
        self.dataset.set_epoch(self.epoch)
        self.epoch += 1
        return iter(self._batches)
