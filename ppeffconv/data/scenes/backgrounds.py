"""Backgrounds: a textured, unevenly lit surface in two colours, and the depth of that surface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .colours import octaves, random_colour, smooth_field

FARTHEST = 4500.0  # mm
NEAREST_BACKGROUND = 2500.0  # mm


def background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a textured colour picture, float32 [height, width, 3] in [0, 1]."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))](rng, height, width)
    first = random_colour(rng, (0.05, 0.6), (0.35, 0.95))
    second = random_colour(rng, (0.05, 0.6), (0.35, 0.95))
    contrast = rng.uniform(0.25, 0.8)
    picture = first + contrast * pattern[..., None] * (second - first)
    light = 1 + 0.12 * smooth_field(rng, height, width, max(height, width) / 2)
    grain = 0.02 * rng.standard_normal((height, width)).astype(np.float32)
    return np.clip(picture * light[..., None] + grain[..., None], 0, 1)


def background_depth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the depth in mm, float32 [height, width]: a slanted wall or floor with gentle undulation."""
    y, x = _grid(height, width)
    slope_y, slope_x = rng.uniform(-900, 900), rng.uniform(-500, 500)
    depth = rng.uniform(3100, 3900) + slope_y * (y / height - 0.5) + slope_x * (x / width - 0.5)
    depth += 40 * smooth_field(rng, height, width, max(height, width) / 3)
    return np.clip(depth, NEAREST_BACKGROUND, FARTHEST).astype(np.float32)


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.mgrid[:height, :width].astype(np.float32))


def _rotated(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a random direction, in pixels."""
    y, x = _grid(height, width)
    angle = rng.uniform(0, np.pi)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _square_wave(phase: np.ndarray) -> np.ndarray:
    """A soft-edged 0-1 wave."""
    return np.clip(0.5 + 3 * np.sin(phase), 0, 1)


def _marble(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    side = max(height, width)
    return np.clip(0.5 + 0.4 * octaves(rng, height, width, (side / 3, side / 8, side / 24, 4.0, 2.0)), 0, 1)


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    along, _ = _rotated(rng, height, width)
    return _square_wave(2 * np.pi * along / rng.uniform(8, 40))


def _checks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    along, across = _rotated(rng, height, width)
    period = rng.uniform(12, 48)
    return 0.5 * (_square_wave(2 * np.pi * along / period) + _square_wave(2 * np.pi * across / period))


def _wood(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    along, _ = _rotated(rng, height, width)
    bend = 6 * smooth_field(rng, height, width, max(height, width) / 4)
    return (
        0.5
        + 0.35 * np.sin(2 * np.pi * (along + bend) / rng.uniform(6, 16))
        + 0.1 * octaves(rng, height, width, (8.0, 2.0))
    )


def _cloth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return np.clip(0.5 + 0.3 * octaves(rng, height, width, (max(height, width) / 2, 3.0, 1.5)), 0, 1)


PATTERNS: tuple[Callable[[np.random.Generator, int, int], np.ndarray], ...] = (
    _marble,
    _stripes,
    _checks,
    _wood,
    _cloth,
)
