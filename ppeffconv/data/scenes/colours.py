"""Random colours, and smooth random fields to vary them with."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image


def random_colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> np.ndarray:
    """Return a colour [3] in [0, 1] of any hue, with saturation and value (brightness) uniform in the given ranges."""
    hue, strength, brightness = rng.uniform(), rng.uniform(*saturation), rng.uniform(*value)
    return np.array(colorsys.hsv_to_rgb(hue, strength, brightness), np.float32)


def smooth_field(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    """Return a float32 field [height, width] around 0, of about unit size, that varies over ``cell`` pixels."""
    grid = rng.standard_normal((int(height / cell) + 2, int(width / cell) + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def octaves(rng: np.random.Generator, height: int, width: int, cells: tuple[float, ...]) -> np.ndarray:
    """Return the mean of smooth fields of several cell sizes, the larger ones weighing more: natural-looking noise."""
    weights = np.sqrt(np.array(cells, np.float32))
    layers = [weight * smooth_field(rng, height, width, cell) for weight, cell in zip(weights, cells, strict=True)]
    return np.sum(layers, axis=0) / np.sqrt(np.sum(weights**2))
