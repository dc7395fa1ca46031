"""The loader that PaddleSeg's loops get: a sample that cannot be made is an error where the batch is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle.io.dataloader.collate import default_collate_fn

from ...data.process_loader import ProcessLoader


class Loader(ProcessLoader):
    """`ProcessLoader` of PaddleSeg's samples.

    Raises (when iterated):
        ValueError: a sample cannot be made, or the samples of a batch differ in size.
    """

    def make(self, indices: Sequence[int]) -> dict[str, Any]:
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
