"""A garment of Fashion-MNIST, cut out of its black background, dyed, enlarged and turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .colours import octaves, random_colour

PAD = 2  # pixels around the 28x28 image, so that the outline of a garment that touches its border is smooth too
SMOOTHING = 0.6  # pixels of the 28x28 image: rounds the steps of the outline
DARKEST = 12  # grey values up to this are background where they reach the border


@dataclass(frozen=True)
class Cutout:
    """A garment ready to be laid on a picture.

    colour: float32 [h, w, 3] in [0, 1]; opacity: float32 [h, w] in [0, 1], with an edge about one pixel wide.
    """

    colour: np.ndarray
    opacity: np.ndarray


def outline(grey: np.ndarray) -> np.ndarray:
    """Return which pixels of a garment, uint8 [h, w] on black, belong to it, with holes and cracks closed."""
    closed = ndimage.binary_closing(np.pad(grey > DARKEST, 1), iterations=1)[1:-1, 1:-1]
    return ndimage.binary_fill_holes(closed | (grey > DARKEST))


def cut_out(grey: np.ndarray, side: float, angle: float, flip: bool, rng: np.random.Generator) -> Cutout:
    """Cut a garment out, dye it and resample it.

    Args:
        grey: uint8 [28, 28] on black.
        side: the length that the 28 pixels are given, in pixels of the scene.
        angle: of rotation, in radians.
        flip: mirror it first.
        rng: of the dye and the fabric.
    """
    if flip:
        grey = grey[:, ::-1]
    grey = np.pad(grey, PAD)
    inside = outline(grey)
    # past the outline the nearest pixel of the garment goes on, or interpolation would darken the edges
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    zoom = side / (len(grey) - 2 * PAD)
    shade = _resample(grey[tuple(nearest)] / np.float32(255), zoom, angle)
    cover = _resample(ndimage.gaussian_filter(inside.astype(np.float32), SMOOTHING), zoom, angle)
    return Cutout(_dye(np.clip(shade, 0, 1), rng), np.clip((cover - 0.5) * max(zoom, 1.0) + 0.5, 0, 1))


def _resample(image: np.ndarray, zoom: float, angle: float) -> np.ndarray:
    """Enlarge and turn a float32 image [n, n] about its middle, into a square that holds all of it."""
    n = len(image)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    size = int(np.ceil(n * zoom * (abs(np.cos(angle)) + abs(np.sin(angle)))))
    # PIL asks where an output pixel's centre lies in the input
    shift_x = n / 2 - (cos + sin) * size / 2
    shift_y = n / 2 - (cos - sin) * size / 2
    matrix = (cos, sin, shift_x, -sin, cos, shift_y)
    source = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(source.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))


def _dye(shade: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a grey garment a colour, and a fabric finer than 28 pixels can show."""
    dye = random_colour(rng, (0.2, 0.95), (0.5, 1.0))
    fabric = 0.05 * octaves(rng, *shade.shape, (6.0, 1.5))
    light = np.clip(0.18 + 0.82 * shade + fabric, 0, 1)[..., None]
    # the lightest folds turn towards white, as cloth in the light does
    return light * (dye + (1 - dye) * 0.35 * np.clip(light - 0.6, 0, 1))
