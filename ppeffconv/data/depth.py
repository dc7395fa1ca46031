"""Pairs of a colour image and a depth map of the same size: scenes, and NYUv2."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .datasets import DATASETS
from .file_dataset import FileDataset
from .image_files import UnreadableImageError, read_image, read_values
from .sources import data_home

Pair = tuple[np.ndarray, np.ndarray]

NYU_FILE = "nyu_depth_v2_labeled.mat"
NYU_TRAIN = 1000  # pairs for training; the other 449 are for the test
HOW_TO_GET_NYU = (
    f"download {NYU_FILE} (2.8 GB) from the page of the NYU Depth Dataset V2 and put it into the folder dataset, or set"
    " PPEFFCONV_DATA or the data set's root"
)


class DepthPairs(FileDataset):
    """A data set whose item ``i`` is (image uint8 [H, W, 3], depth float32 [H, W] in metres).

    It has no classes; `num_classes` and `class_names` are there because every data set has them.
    """

    num_classes = 0
    class_names: tuple[str, ...] = ()
    image_mode = "RGBD"


@DATASETS.register()
class SceneDepth(DepthPairs):
    """The depth of scenes that `tools/make_scenes.py` has made.

    Args:
        root: their folder; default: ``scenes`` beside the other data sets.
        train: the training or the evaluation part.

    Raises:
        FileNotFoundError: no scenes there; the message says how to make them.
    """

    def __init__(self, root: str | None = None, train: bool = True) -> None:
        self.root = Path(root).expanduser() if root is not None else data_home() / "scenes"
        self.split = "train" if train else "val"
        settings = self.root / "scenes.json"
        if not settings.is_file():
            raise FileNotFoundError(
                f"no scenes in {self.root}: make them with `python tools/make_scenes.py --output {self.root}`"
            )
        super().__init__(json.loads(settings.read_text(encoding="utf-8"))[self.split], train)

    def read(self, index: int) -> Pair:
        depth = read_values(self._path("depth", index, "png"))
        return np.asarray(read_image(self.locate(index))), np.asarray(depth, np.float32) / np.float32(1000)

    def locate(self, index: int) -> str:
        return str(self._path("images", index, "jpg"))

    def _path(self, kind: str, index: int, suffix: str) -> Path:
        return self.root / kind / self.split / f"{index:06d}.{suffix}"


@DATASETS.register()
class NYUv2(DepthPairs):
    """The 1449 labelled pairs of NYU Depth v2, 480x640: the first 1000 for training, the last 449 for the test.

    Args:
        root: folder with ``nyu_depth_v2_labeled.mat``, or the file; default: that of the other data sets.
        train: the training or the test part.

    Raises:
        FileNotFoundError: the file is not there; the message says how to get it.
        RuntimeError: h5py is not installed.
        ValueError: the file is not that of NYU Depth v2, or damaged.
    """

    def __init__(self, root: str | None = None, train: bool = True) -> None:
        path = Path(root).expanduser() if root is not None else data_home()
        self.path = path / NYU_FILE if path.is_dir() else path
        if not self.path.is_file():
            raise FileNotFoundError(f"no NYU Depth v2 at {self.path}: {HOW_TO_GET_NYU}")
        self._file: Any = None
        self._process = 0
        images, depths = (self._opened()[name] for name in ("images", "depths"))
        # MATLAB stores columns first, so h5py sees [N, 3, W, H] and [N, W, H]
        if images.ndim != 4 or images.shape[1] != 3 or depths.shape != (len(images), *images.shape[2:]):
            raise ValueError(
                f"{self.path}: expected images [N, 3, W, H] and depths [N, W, H], got {images.shape} and {depths.shape}"
            )
        split = min(NYU_TRAIN, len(images))
        self.indices = range(split) if train else range(split, len(images))
        super().__init__(len(self.indices), train)

    def read(self, index: int) -> Pair:
        file, place = self._opened(), self.indices[index]
        try:
            image, depth = file["images"][place], file["depths"][place]
        except OSError as error:
            raise UnreadableImageError(f"cannot read {self.locate(index)}: {error}") from None
        return np.ascontiguousarray(image.transpose(2, 1, 0)), np.ascontiguousarray(depth.T, np.float32)

    def locate(self, index: int) -> str:
        return f"{self.path}, pair {self.indices[index]}"

    def _opened(self) -> Any:
        """The file, opened once in each process: a handle does not survive a fork."""
        if self._process != os.getpid():
            self._file, self._process = _open_hdf5(self.path), os.getpid()
        return self._file


def _open_hdf5(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise RuntimeError("NYU Depth v2 is an HDF5 file, which needs h5py: pip install 'ppeffconv[depth]'") from None
    try:
        file = h5py.File(path, "r")
        missing = {"images", "depths"} - set(file)
    except OSError as error:
        raise ValueError(f"{path} is damaged or not an HDF5 file ({error}): {HOW_TO_GET_NYU}") from None
    if missing:
        raise ValueError(f"{path} has no {' and no '.join(sorted(missing))}: {HOW_TO_GET_NYU}")
    return file
