"""What a network does to images, as one picture: masks, gates, octave groups, filters, features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from paddle import Tensor, nn
from PIL import Image

from ..data.image_files import UnreadableImageError, read_image
from ..models.pictures import choose, feature_maps, pictures
from ..utils.figures import sheet
from ..utils.logger import get_logger
from ..utils.rng import fixed_seed
from .images import find_images

LINES = 8  # of a picture, at most

Panel = tuple[str, np.ndarray]  # a title and a picture, [h, w] in [0, 1] or an image


def read_images(paths: Sequence[str | Path], mode: str) -> list[Image.Image]:
    """Read image files and those of folders, in order, the first `LINES` that can be read, as ``mode``.

    Raises:
        FileNotFoundError: a path does not exist, or a folder has no images.
        ValueError: no file can be read.
    """
    files = [file for path in paths for file in find_images(path)]
    images: list[Image.Image] = []
    for number, file in enumerate(files):
        if len(images) == LINES:
            get_logger().info(f"{len(files) - number} more images are not drawn: a picture has {LINES} lines at most")
            break
        try:
            images.append(read_image(file, mode))
        except UnreadableImageError as error:
            get_logger().warning(f"{file} is left out: {error}")
    if not images:
        raise ValueError(f"none of {len(files)} files is an image that can be read, the first is {files[0]}")
    return images


def panels(net: nn.Layer, inputs: Tensor) -> list[Panel]:
    """Return `models.pictures` of three layers for each kind that there is, of a plain network its feature maps.

    Raises:
        ValueError: the network has no convolutions.
    """
    with fixed_seed(0):
        drawn = pictures(net, inputs) or feature_maps(net, inputs)
    if not drawn:
        raise ValueError(f"{type(net).__name__} has nothing to draw: no convolution of images")
    return [(name, drawn[name]) for name in choose(list(drawn))]


def draw_lines(lines: Sequence[Sequence[Panel]], output: Path) -> Path:
    """Draw lines of panels, of which the first shows an image, to a picture file."""
    columns = max(map(len, lines))
    size = 1.9 * columns, 2.4 * len(lines)
    with sheet(output, nrows=len(lines), ncols=columns, figsize=size, squeeze=False) as axes:
        for line, drawn in zip(axes, lines):
            for axis, (name, panel) in zip(line, drawn):
                limits = {"cmap": "gray"} if name == "image" else {"cmap": "viridis", "vmin": 0, "vmax": 1}
                axis.imshow(panel, interpolation="nearest", **limits)
                axis.set_title(name.replace("/", "\n"), fontsize=7)
            for axis in line:
                axis.axis("off")
    return output
