"""Prediction on image files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data import build_transforms
from ..data.image_files import images_below, known_suffixes, read_image
from .predictor import Predictor

Transform = Callable[[Image.Image], np.ndarray]
Forward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Guess:
    """A class that an image may show, and its probability."""

    class_id: int
    class_name: str
    score: float


@dataclass
class Predictions:
    """The best guesses for each image file, best first, and why the others could not be used."""

    guesses: dict[str, list[Guess]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def find_images(path: str | Path) -> list[Path]:
    """Return ``path`` itself if it is a file, else the image files in this folder and below, sorted.

    Raises:
        FileNotFoundError: ``path`` does not exist, or the folder has no images.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"no image or folder {path}")
    found = images_below(path)
    if not found:
        raise FileNotFoundError(f"no images in {path}: looked for {known_suffixes()}")
    return found


def predict_images(
    forward: Forward,
    files: Sequence[Path],
    transforms: Transform,
    image_mode: str,
    class_names: Sequence[str],
    input_shape: Sequence[int],
    topk: int = 5,
) -> Predictions:
    """Classify image files. One that cannot be read, or not be brought to the network's size, is counted as broken.

    Args:
        forward: float32 [1, C, H, W] -> logits [1, number of classes].
        files: the images.
        transforms: image -> float32 [C, H, W], those of evaluation.
        image_mode: "L" or "RGB", to which each image is converted as the training data was.
        class_names: in the order of the logits.
        input_shape: (C, H, W) that the network was trained for; of an image of another size it would report noise.
        topk: how many guesses per image; at most one per class.

    Raises:
        ValueError: the network has another number of classes than there are names, or ``topk`` is below 1.
    """
    if topk < 1:
        raise ValueError(f"topk, the number of guesses, must be at least 1, got {topk}")
    predictions = Predictions()
    for file in files:
        try:
            array = _read(file, transforms, image_mode, tuple(input_shape))
        except ValueError as error:
            predictions.broken[str(file)] = str(error)
            continue
        logits = forward(array[None])[0]
        if len(logits) != len(class_names):
            raise ValueError(f"the network has {len(logits)} classes, but there are {len(class_names)} class names")
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        best = np.argsort(-scores, kind="stable")[:topk]
        predictions.guesses[str(file)] = [Guess(int(i), class_names[i], float(scores[i])) for i in best]
    return predictions


def exported_parts(path: str | Path) -> dict[str, Any]:
    """Return the arguments of ``predict_images`` for the export of a run; ValueError if it is another export."""
    predictor = Predictor(path)
    info = predictor.info
    if not {"transforms", "class_names", "image_mode"} <= info.keys():
        raise ValueError(f"{path} was exported without transforms and class names: use tools/export.py, or Predictor")
    facts = {key: info[key] for key in ("class_names", "image_mode", "input_shape")}
    return {**facts, "forward": predictor.run, "transforms": build_transforms(info["transforms"])}


def _read(file: Path, transforms: Transform, image_mode: str, input_shape: tuple[int, ...]) -> np.ndarray:
    array = transforms(read_image(file, image_mode))
    if array.shape != input_shape:
        got, expected = ("x".join(map(str, shape)) for shape in (array.shape, input_shape))
        raise ValueError(
            f"the evaluation transforms turn it into {got}, but the network takes {expected}: "
            "resize it, or add Resize to DataLoader.Eval.transforms"
        )
    return array
