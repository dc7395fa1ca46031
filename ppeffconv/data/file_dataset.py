"""Data sets whose samples lie in files: what is done about those that cannot be read."""

from __future__ import annotations

import mmap
from abc import abstractmethod
from typing import Any

import numpy as np
from paddle.io import Dataset

from ..utils.logger import get_logger
from .image_files import UnreadableImageError


class FileDataset(Dataset):
    """Samples that are read one by one. One that cannot be read is reported once and counted in ``broken``.

    For training the next readable sample takes its place. For evaluation it is an `UnreadableImageError`: the loader
    leaves it out, and `evaluate` says how many were left out, or that they are too many.

    Args:
        count: number of samples.
        train: whether they are for training.
    """

    def __init__(self, count: int, train: bool) -> None:
        super().__init__()
        self.train = train
        self._count = count
        self._broken = mmap.mmap(-1, max(1, count))  # a byte for each, shared with the loader's worker processes

    @abstractmethod
    def read(self, index: int) -> Any:
        """Read a sample; UnreadableImageError if that fails."""

    @abstractmethod
    def locate(self, index: int) -> str:
        """Return what names a sample: the path of its file."""

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        for step in range(len(self) if self.train else 1):
            try:
                return self._read((index + step) % len(self))
            except UnreadableImageError:
                if not self.train:
                    raise
        raise ValueError(f"none of the {len(self)} training samples can be read, such as {self.locate(index)}")

    @property
    def broken(self) -> list[str]:
        """What names the samples that could not be read when they were last asked for."""
        return [self.locate(index) for index in np.flatnonzero(np.frombuffer(self._broken, np.uint8)[: len(self)])]

    def verify(self) -> list[str]:
        """Read every sample once and return what names the broken ones."""
        for index in range(len(self)):
            try:
                self._read(index)
            except UnreadableImageError:
                continue
        return self.broken

    def _read(self, index: int) -> Any:
        try:
            sample = self.read(index)
        except UnreadableImageError as error:
            if not self._broken[index]:
                self._broken[index] = 1
                instead = "the next readable one takes its place" if self.train else "it is left out of the evaluation"
                get_logger().warning(f"{error}; {instead}; {sum(self._broken[:])} of {len(self)} broken so far")
            raise
        self._broken[index] = 0
        return sample
