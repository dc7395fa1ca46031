"""Epochs that depend on the seed and their number alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...engine.distributed import rank
from ...engine.rng import seed_everything


class SeededEpochs:
    """PaddleDetection's training reader, with order and augmentation a function of seed and epoch.

    Its own reader begins anew in a resumed run with the first epoch's order, and fetches ahead of the epoch's begin,
    so that a resumed run would differ from an uninterrupted one.

    Args:
        reader: a ``TrainReader`` with its data set.
        seed: of the run.
        start_epoch: the first epoch to be read.
    """

    def __init__(self, reader: Any, seed: int, start_epoch: int = 0) -> None:
        self.dataset = reader.dataset
        self.epoch = start_epoch
        self._seed = seed
        self._batches = reader.dataloader
        self._sampler = reader._batch_sampler
        reader.loader = None  # what it has fetched

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        seed_everything(self._seed + 1_000_003 * self.epoch + 7_919 * rank())
        self._sampler.set_epoch(self._seed + self.epoch)
        self.dataset.set_epoch(self.epoch)
        self.epoch += 1
        return iter(self._batches)
