"""Stand-ins for Fashion-MNIST: grey shapes on black, in the files of the real one."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def shapes(count: int, seed: int) -> np.ndarray:
    """Return uint8 [count, 28, 28]: shaded superellipses, round to square, long to wide."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        height, width, power = rng.uniform(6, 14), rng.uniform(6, 14), rng.uniform(1.5, 6)
        inside = (abs(y - 13.5) / height) ** power + (abs(x - 13.5) / width) ** power <= 1
        image[inside] = (rng.uniform(80, 220) + 30 * np.sin(y / 3))[inside]
    return images


def write_fashion_mnist(folder: Path, train: int = 40, test: int = 40) -> Path:
    """Write both parts; the training part has the classes 0 to 4 only, the test part 5 to 9."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count, first in (("train", train, 0), ("t10k", test, 5)):
        images, labels = shapes(count, first), (first + np.arange(count) % 5).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    return folder
