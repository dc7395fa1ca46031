"""Data sets, transforms and the loader, all named from YAML."""

from __future__ import annotations

# these register the data sets and the transforms of pairs
from . import cifar, depth, depth_transforms, digits, fashion_mnist, image_folder  # noqa: F401
from .datasets import (
    DATASETS,
    ArrayDataset,
    build_dataset,
    check_known_classes,
    check_num_classes,
    check_same_classes,
)
from .depth import DepthPairs, NYUv2, SceneDepth
from .image_files import UnreadableImageError, read_image
from .loader import Loader, TransformedDataset, build_loader, stack_images
from .sampler import EpochBatchSampler
from .transforms import TRANSFORMS, build_transforms

__all__ = [
    "DATASETS",
    "TRANSFORMS",
    "ArrayDataset",
    "DepthPairs",
    "EpochBatchSampler",
    "Loader",
    "NYUv2",
    "SceneDepth",
    "TransformedDataset",
    "UnreadableImageError",
    "build_dataset",
    "build_loader",
    "build_transforms",
    "check_known_classes",
    "check_num_classes",
    "check_same_classes",
    "read_image",
    "stack_images",
]
