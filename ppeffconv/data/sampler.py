"""The order of the samples: a function of the seed and the epoch alone, so that a run can be resumed anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from paddle.io import BatchSampler

Key = tuple[int, int]  # epoch, index


class EpochBatchSampler(BatchSampler):
    """Batches of (epoch, index) keys for one process of a run.

    Args:
        n: samples of the data set.
        batch_size: samples of a batch in this process.
        shuffle: draw a new order for each epoch, from (seed, epoch).
        drop_last: leave out a last batch that is not full.
        seed: of the order.
        rank, world: this process and the number of processes; they share the samples.
        pad: repeat samples from the start of the order until all processes have equally many, as gradients that are
            averaged over processes need. Without it every sample comes exactly once, as evaluation needs.

    Raises:
        ValueError: no sample or no batch would be left, or an argument is out of range.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        shuffle: bool,
        drop_last: bool,
        seed: int,
        rank: int = 0,
        world: int = 1,
        pad: bool = True,
    ) -> None:
        if n < 1 or batch_size < 1 or not 0 <= rank < world:
            raise ValueError(f"got {n} samples, batch_size {batch_size}, rank {rank} of {world} processes")
        self.n = n
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.rank = rank
        self.world = world
        self.pad = pad
        self.epoch = 0
        self.start_step = 0
        if drop_last and len(self) == 0:
            raise ValueError(
                f"batch_size {batch_size} with drop_last leaves no batch: a process has {self._count()} of {n} samples"
            )

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch of the next iteration, and how many of its batches to skip (those already trained on)."""
        self.epoch = epoch
        self.start_step = start_step

    def __len__(self) -> int:
        """Batches of a whole epoch in this process, whatever ``start_step`` is."""
        full, rest = divmod(self._count(), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        indices = self._indices(epoch)
        for step in range(self.start_step, len(self)):
            batch = indices[step * self.batch_size : (step + 1) * self.batch_size]
            yield [(epoch, int(index)) for index in batch]

    def _count(self) -> int:
        """Samples of an epoch in this process."""
        return -(-self.n // self.world) if self.pad else len(range(self.rank, self.n, self.world))

    def _indices(self, epoch: int) -> np.ndarray:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n) if self.shuffle else np.arange(self.n)
        if self.pad:
            order = np.resize(order, self._count() * self.world)  # repeats from the start
        return order[self.rank :: self.world]
