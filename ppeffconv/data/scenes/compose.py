"""One scene: garments laid on a background from back to front, each in front of all that it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .backgrounds import background, background_depth
from .garments import Cutout, cut_out
from .settings import SceneSettings

SIDES = (0.2, 0.6)  # of a garment, as a share of the scene's shorter side
TURN = np.pi / 4  # largest rotation either way
LEAST_VISIBLE = 0.4  # share of every garment that must stay in sight
LEAST_PIXELS = 40
ATTEMPTS = 12  # to find a place for a garment
NEAREST = 400.0  # mm; nothing comes closer
STEP = (60.0, 350.0)  # mm between a garment and what it covers
SLANT = 350.0  # mm of depth over the length of the steepest garment
SLANTED = 0.6  # share of the garments that are not parallel to the camera
SHADOW = 0.45


@dataclass
class Scene:
    """A scene of N garments, numbered from back to front.

    image: uint8 [H, W, 3]; owner: uint8 [H, W], 0 = background, k = garment k - 1; depth: uint16 [H, W] in mm;
    classes: int [N], 0 to 9; sources: int [N], which image of Fashion-MNIST each is.
    """

    image: np.ndarray
    owner: np.ndarray
    depth: np.ndarray
    classes: list[int]
    sources: list[int]

    @property
    def labels(self) -> np.ndarray:
        """Semantic labels, uint8 [H, W]: 0 = background, else 1 + the class."""
        return np.array([0, *(c + 1 for c in self.classes)], np.uint8)[self.owner]


def compose_scene(images: np.ndarray, classes: np.ndarray, settings: SceneSettings, key: Sequence[int]) -> Scene:
    """Compose the scene that ``key`` stands for.

    Args:
        images, classes: the garments to draw from, uint8 [M, 28, 28] and whole numbers [M].
        settings: the size, and how many garments.
        key: whole numbers; the scene is a function of them and the other arguments.
    """
    rng = np.random.default_rng(key)
    height, width = settings.height, settings.width
    table = _Table(background(rng, height, width), background_depth(rng, height, width))
    wanted = int(rng.integers(settings.fewest, settings.most + 1))
    found: list[int] = []
    largest = SIDES[1]
    while len(found) < wanted:
        source = int(rng.integers(len(images)))
        if any(_try(table, images[source], largest, rng) for _ in range(ATTEMPTS)):
            found.append(source)
        elif len(found) >= settings.fewest:
            break  # the scene is full
        else:
            largest = max(0.8 * largest, SIDES[0])
    image = np.round(255 * table.picture).astype(np.uint8)
    return Scene(image, table.owner, np.round(table.depth).astype(np.uint16), [int(classes[i]) for i in found], found)


class _Table:
    """The picture, the depth and the owner of every pixel so far, and the whole area of each garment laid."""

    def __init__(self, picture: np.ndarray, depth: np.ndarray) -> None:
        self.picture, self.depth = picture, depth
        self.owner = np.zeros(depth.shape, np.uint8)
        self.areas: list[int] = []

    def lay(self, cutout: Cutout, top: int, left: int, slope: tuple[float, float], step: float) -> bool:
        """Lay a garment with its corner at (top, left), unless it, or one below it, would hardly be in sight."""
        (ys, xs), opacity, colour = self._window(cutout, top, left)
        mask = opacity >= 0.5
        whole = int((cutout.opacity >= 0.5).sum())
        owner = self.owner.copy()
        owner[ys, xs][mask] = len(self.areas) + 1
        visible = np.bincount(owner.ravel(), minlength=len(self.areas) + 2)[1:]
        areas = np.array([*self.areas, whole])
        if (visible < np.maximum(LEAST_VISIBLE * areas, LEAST_PIXELS)).any():
            return False
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
        plane = (slope[0] * y + slope[1] * x).astype(np.float32)
        plane += (self.depth[ys, xs] - plane)[mask].min() - step  # everywhere at least a step before what it covers
        if plane[mask].min() < NEAREST:
            return False
        self._shade(mask, ys, xs)
        self.picture[ys, xs] += opacity[..., None] * (colour - self.picture[ys, xs])
        self.depth[ys, xs][mask] = plane[mask]
        self.owner, self.areas = owner, areas.tolist()
        return True

    def _window(self, cutout: Cutout, top: int, left: int) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """The part of the scene that the cutout covers, and the part of the cutout that is inside the scene."""
        height, width = self.depth.shape
        h, w = cutout.opacity.shape
        ys, xs = slice(max(top, 0), min(top + h, height)), slice(max(left, 0), min(left + w, width))
        part = slice(ys.start - top, ys.stop - top), slice(xs.start - left, xs.stop - left)
        return (ys, xs), cutout.opacity[part], cutout.colour[part]

    def _shade(self, mask: np.ndarray, ys: slice, xs: slice) -> None:
        """Darken what lies around the garment, softly, towards the lower right."""
        shadow = np.zeros(self.depth.shape, np.float32)
        shadow[ys, xs] = mask
        reach = max(self.depth.shape) / 64
        shadow = ndimage.shift(ndimage.uniform_filter(shadow, int(2 * reach) + 1), int(reach), order=0)
        self.picture *= 1 - SHADOW * shadow[..., None]


def _try(table: _Table, grey: np.ndarray, largest: float, rng: np.random.Generator) -> bool:
    """Try to lay a garment at one random place, size and rotation."""
    height, width = table.depth.shape
    side = min(height, width) * np.exp(rng.uniform(np.log(SIDES[0]), np.log(largest)))
    cutout = cut_out(grey, side, rng.uniform(-TURN, TURN), bool(rng.integers(2)), rng)
    size = len(cutout.opacity)
    top, left = (int(rng.uniform(0.08, 0.92) * extent - size / 2) for extent in (height, width))
    tilt = SLANT / side * rng.uniform() * (rng.uniform() < SLANTED)
    direction = rng.uniform(0, 2 * np.pi)
    slope = tilt * np.sin(direction), tilt * np.cos(direction)
    return table.lay(cutout, top, left, slope, rng.uniform(*STEP))
