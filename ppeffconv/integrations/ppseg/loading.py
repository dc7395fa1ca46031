"""The loader that PaddleSeg's loops get: a sample that cannot be made is an error where the batch is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import paddle
from paddle.io import DataLoader, Dataset
from paddle.io.dataloader.collate import default_collate_fn

PROBLEM = "problem"  # key of a batch that could not be made


class Loader(DataLoader):
    """`paddle.io.DataLoader`, except that errors arrive.

    Paddle 3.3.1 loads in a thread even without workers. An exception in there leaves the caller waiting for ever, and
    one in a worker arrives as a SystemError about a queue. So without workers a batch is made on demand, and workers
    send errors as text.

    Raises (when iterated):
        ValueError: a sample cannot be made, or the samples of a batch differ in size.
    """

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.num_workers == 0:
            for indices in self.batch_sampler:
                yield paddle.utils.map_structure(_to_tensor, self._make(indices))
            return
        batches = DataLoader(
            _Indices(),
            batch_sampler=self.batch_sampler,
            num_workers=self.num_workers,
            collate_fn=self._make_in_worker,
            worker_init_fn=self.worker_init_fn,
        )
        for batch in batches:
            if PROBLEM in batch:
                raise ValueError(batch[PROBLEM])
            yield batch

    def _make(self, indices: Sequence[int]) -> dict[str, Any]:
        samples = [self.dataset[index] for index in indices]
        sizes = {"x".join(map(str, sample["img"].shape)) for sample in samples}
        if len(sizes) > 1:
            raise ValueError(
                f"the images of a batch differ in size ({', '.join(sorted(sizes)[:3])}): the transforms must bring "
                "them to one, with Resize or RandomPaddingCrop"
            )
        batch = default_collate_fn(samples)
        for step in batch.get("trans_info", []):
            step[0] = list(step[0])  # the name of a transform: Paddle 3.3 makes a tuple, PaddleSeg looks for a list
        return batch

    def _make_in_worker(self, indices: Sequence[int]) -> dict[str, Any]:
        try:
            return self._make(indices)
        except (ValueError, OSError, RuntimeError) as error:
            return {PROBLEM: str(error), "none": np.zeros(1, np.float32)}


class _Indices(Dataset):
    """Gives back the indices it is asked for: all work is left to ``collate_fn``, which can answer for errors."""

    def __getitem__(self, index: int) -> int:
        return index


def _to_tensor(value: Any) -> Any:
    return paddle.to_tensor(value) if isinstance(value, np.ndarray) else value
