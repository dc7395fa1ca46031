"""Transforms of an image and its depth together, the last of which makes the input and the target of an upsampler."""

from __future__ import annotations

import random

import numpy as np

from .depth import Pair
from .transforms import TRANSFORMS


@TRANSFORMS.register()
class RandomCropPair:
    """Cut the same square of ``size`` pixels out of the image and the depth."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size

    def __call__(self, pair: Pair) -> Pair:
        height, width = pair[1].shape
        if min(height, width) < self.size:
            raise ValueError(f"the image of {width}x{height} is smaller than the crop of {self.size}x{self.size}")
        top, left = random.randint(0, height - self.size), random.randint(0, width - self.size)
        return tuple(array[top : top + self.size, left : left + self.size] for array in pair)


@TRANSFORMS.register()
class RandomFlipPair:
    """Mirror the image and the depth with probability 1/2."""

    def __call__(self, pair: Pair) -> Pair:
        return tuple(array[:, ::-1] for array in pair) if random.random() < 0.5 else pair


@TRANSFORMS.register()
class PointSampledPair:
    """Make an upsampler's input and target, by the protocol of PAC-Net that the DDF paper follows.

    The low resolution takes one pixel of each scale x scale block, number (scale - 1) // 2 of each side, as a sensor
    does, without averaging. A block that the border cuts counts as continued by the border.

    Args:
        scale: of the upsampling.

    Returns:
        float32 [4, H, W], what `JointUpNet` takes: the image in [0, 1] and the low resolution, each value repeated over
        its block; float32 [1, H, W], the depth.
    """

    def __init__(self, scale: int) -> None:
        if scale < 1:
            raise ValueError(f"scale must be at least 1, got {scale}")
        self.scale = scale

    def __call__(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        image, depth = pair
        height, width = depth.shape
        x = np.empty((4, height, width), np.float32)
        x[:3] = image.transpose(2, 0, 1) / np.float32(255)
        low = point_sample(depth, self.scale)
        x[3] = low.repeat(self.scale, axis=0).repeat(self.scale, axis=1)[:height, :width]
        return x, np.ascontiguousarray(depth[None], np.float32)


def point_sample(depth: np.ndarray, scale: int) -> np.ndarray:
    """Return the low resolution [ceil(H / scale), ceil(W / scale)] of a depth map [H, W]; see `PointSampledPair`."""
    height, width = depth.shape
    rows, columns = (np.arange((scale - 1) // 2, -(-side // scale) * scale, scale) for side in (height, width))
    return depth[np.minimum(rows, height - 1)][:, np.minimum(columns, width - 1)]
