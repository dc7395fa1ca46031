"""Data sets, transforms and the loader, all named from YAML."""

from __future__ import annotations

from . import cifar, digits, fashion_mnist, image_folder  # noqa: F401 - registers the data sets
from .datasets import DATASETS, ArrayDataset, build_dataset, check_num_classes, check_same_classes
from .loader import Loader, TransformedDataset, build_loader
from .sampler import EpochBatchSampler
from .transforms import TRANSFORMS, build_transforms

__all__ = [
    "DATASETS",
    "TRANSFORMS",
    "ArrayDataset",
    "EpochBatchSampler",
    "Loader",
    "TransformedDataset",
    "build_dataset",
    "build_loader",
    "build_transforms",
    "check_num_classes",
    "check_same_classes",
]
