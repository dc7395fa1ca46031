"""From a data set to batches: randomness that depends on (seed, epoch, index) alone, and errors that arrive."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from paddle.io import Dataset

from .datasets import build_dataset
from .depth import DepthPairs
from .file_dataset import FileDataset
from .image_files import UnreadableImageError
from .process_loader import ProcessLoader
from .sampler import EpochBatchSampler, Key
from .transforms import build_transforms

Sample = tuple[np.ndarray, "np.ndarray | np.int64"]


class TransformedDataset(Dataset):
    """A data set behind its transforms. What is random about a sample depends only on (seed, epoch, index).

    So it is the same for any number of workers, any order and after a resume. The global generators of Python and
    numpy, which Paddle's transforms draw from, are left as they were found.

    Args:
        dataset: gives (image, label).
        transforms: image -> float32 array [C, H, W], from ``build_transforms``.
        seed: of the run.

    Item ``index`` or ``(epoch, index)`` is (float32 [C, H, W], int64), or of `DepthPairs` (input [4, H, W], target
    [1, H, W]), both float32; a bare index means epoch 0.
    """

    def __init__(self, dataset: Dataset, transforms: Callable[[Any], np.ndarray], seed: int = 0) -> None:
        super().__init__()
        self.dataset = dataset
        self.transforms = transforms
        self.seed = seed
        self.num_classes: int = dataset.num_classes
        self.class_names: list[str] = dataset.class_names
        self.image_mode: str = dataset.image_mode
        self.unused_labels: list[int] = getattr(dataset, "unused_labels", [])

    @property
    def broken(self) -> list[str]:
        """Paths of images that could not be read so far."""
        return getattr(self.dataset, "broken", [])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | Key) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        image, label = self.dataset[index]
        with _seeded(self.seed, epoch, index):
            try:
                if isinstance(self.dataset, DepthPairs):
                    return self.transforms((image, label))
                return self.transforms(image), np.int64(label)
            except ValueError as error:
                raise ValueError(f"{self._locate(index)}: {error}") from error

    def readable(self, count: int) -> Iterator[tuple[int, Sample]]:
        """Yield the first ``count`` samples that can be read, each with its index.

        Raises:
            ValueError: there are samples, but none can be read.
        """
        found = 0
        for index in range(len(self)):
            if found == count:
                return
            try:
                yield index, self[index]
            except UnreadableImageError:
                continue
            found += 1
        if not found:
            raise ValueError(f"none of the {len(self)} samples can be read, such as {self._locate(0)}")

    def _locate(self, index: int) -> str:
        return self.dataset.locate(index) if isinstance(self.dataset, FileDataset) else f"sample {index}"


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    first, second = np.random.SeedSequence(key).generate_state(2)
    random.seed(int(first))
    np.random.seed(second)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


class Loader(ProcessLoader):
    """`ProcessLoader` of a `TransformedDataset`."""

    def __init__(self, dataset: TransformedDataset, batch_sampler: EpochBatchSampler, num_workers: int = 0) -> None:
        super().__init__(dataset, batch_sampler=batch_sampler, num_workers=num_workers)

    def make(self, indices: Sequence[Key]) -> list[np.ndarray] | None:
        """Return float32 [N, C, H, W] and the labels, int64 [N], or the targets, float32 [N, 1, H, W].

        Samples that an evaluation cannot read are left out; None if none is left.
        """
        samples = []
        for key in indices:
            with suppress(UnreadableImageError):
                samples.append(self.dataset[key])
        if not samples:
            return None
        images, labels = zip(*samples, strict=True)
        return [stack_images(images), np.stack(labels)]

    def indices(self) -> EpochBatchSampler:
        return self.batch_sampler  # the same in each pass of an epoch


def stack_images(images: Sequence[np.ndarray]) -> np.ndarray:
    """N arrays [C, H, W] as one, [N, C, H, W]; ValueError if they differ in size."""
    sizes = {"x".join(map(str, image.shape)) for image in images}
    if len(sizes) > 1:
        raise ValueError(
            f"the images of a batch differ in size ({', '.join(sorted(sizes)[:3])}):"
            " the transforms must bring them to one, with `Resize: {size: [H, W]}`, CenterCrop or a random crop"
        )
    return np.stack(images)


def build_loader(cfg: Mapping[str, Any], split: str, rank: int = 0, world: int = 1) -> Loader:
    """Build the loader of ``cfg["DataLoader"][split]``.

    Training is shuffled, and every process gets equally many batches. Evaluation keeps the order, and the processes
    together see every sample exactly once.

    Args:
        cfg: the configuration of the run.
        split: "Train" or "Eval".
        rank, world: this process and the number of processes; ``batch_size`` is per process.

    Returns:
        A loader of [float32 [N, C, H, W], int64 [N]]; its ``batch_sampler`` is an EpochBatchSampler and its
        ``dataset`` a TransformedDataset.

    Raises:
        ValueError, FileNotFoundError: what ``build_dataset`` and ``build_transforms`` raise.
    """
    block = cfg["DataLoader"][split]
    train = split == "Train"
    seed = cfg["Global"]["seed"]
    transforms = build_transforms(block["transforms"])
    dataset = TransformedDataset(build_dataset(block["dataset"], train), transforms, seed)
    sampler = EpochBatchSampler(
        n=len(dataset),
        batch_size=block["batch_size"],
        shuffle=train,
        drop_last=train and block["drop_last"],
        seed=seed,
        rank=rank,
        world=world,
        pad=train,
    )
    return Loader(dataset, sampler, block["num_workers"])
