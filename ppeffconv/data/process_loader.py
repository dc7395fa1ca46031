"""paddle.io.DataLoader with workers that cannot leave a run waiting, and errors that arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import paddle
from paddle.io import DataLoader
from paddle.io.dataloader.collate import default_collate_fn

from .workers import in_workers


class ProcessLoader(DataLoader):
    """`paddle.io.DataLoader` for data sets with a batch sampler, except for who makes the batches.

    Paddle 3.3.1 loads in a thread even without workers. An exception in there leaves the caller waiting for ever, and
    the thread draws from the generators that the training code may be using. Its workers share a queue and /dev/shm:
    one that is killed may hold the queue's lock, and both are left behind when the main process is killed. So without
    workers a batch is made on demand, and workers are those of `in_workers`.

    Raises (when iterated):
        ValueError, OSError: a sample cannot be made.
        RuntimeError: the data set has failed in another way.
        WorkerError: a worker process has died.
    """

    def __iter__(self) -> Iterator[Any]:
        batches = self._in_workers() if self.num_workers else map(self.make, self.batch_sampler)
        for batch in batches:
            if batch is not None:
                yield paddle.utils.map_structure(_to_tensor, batch)

    def make(self, indices: Sequence[Any]) -> Any:
        """Return the batch of some indices, as arrays, or None for one that is left out."""
        return (self.collate_fn or default_collate_fn)([self.dataset[index] for index in indices])

    def indices(self) -> Iterable[Sequence[Any]]:
        """Return what is to be a batch each; a sampler may change itself with each pass, and workers are copies."""
        return list(self.batch_sampler)

    def _in_workers(self) -> Iterator[Any]:
        state = np.random.get_state()  # drawing a seed must not change what follows
        seed = int(np.random.randint(2**31))
        np.random.set_state(state)
        return in_workers(self.make, self.indices(), self.num_workers, seed)


def _to_tensor(value: Any) -> Any:
    return paddle.to_tensor(value) if isinstance(value, np.ndarray) else value
