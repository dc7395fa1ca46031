"""A folder with one network for all engines: its saved forms, images, and the logits that each engine must give.

images.npy          float32 [N, 3, H, W]
logits.npy          what our network says of them
training, deployed  the network as it is trained and as `ppeffconv.deploy` folds it, for Paddle; beside them
                    training.onnx and deployed.onnx
weights.npz         by PyTorch's names
facts.json          multiply-adds of an image
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .serve import Job, forget_peak

FORMS = ("training", "deployed")
TOLERANCES = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.1}  # of the largest logit, by an engine's precision
Run = Callable[[np.ndarray], np.ndarray]
WARM, REPEATS = 2, 3


def images(folder: str, batch: int) -> np.ndarray:
    """The first images, over again if ``batch`` is larger than what there is."""
    stored = np.load(Path(folder, "images.npy"))
    return np.ascontiguousarray(np.resize(stored, (batch, *stored.shape[1:])))


def forms(folder: str, name: str) -> dict[str, Path]:
    """The forms that could be saved, and their files; ``name`` is that of a file with a place for the form.

    Raises:
        FileNotFoundError: there is none.
    """
    found = {form: path for form in FORMS if (path := Path(folder, name.format(form))).is_file()}
    if not found:
        raise FileNotFoundError(f"the network could not be saved as {name.format('*')}")
    return found


def job(folder: str, batch: int, loaders: Mapping[str, Callable[[], Run]], facts: dict[str, Any]) -> Job:
    """The job of an engine: of the forms that it can load the fastest that gives our logits, with its error.

    Raises:
        RuntimeError: it can load none.
    """
    x, tried, refused = images(folder, batch), [], None
    tolerance = TOLERANCES[facts.get("dtype", "float32")]
    for form, load in loaders.items():
        try:
            run = load()
            difference = error(folder, run(x))
        except RuntimeError as reason:
            refused = reason
            continue
        tried.append((difference > tolerance, _fastest(run, x), form, difference, run))
    if not tried:
        raise refused
    _, _, form, difference, run = min(tried, key=lambda each: each[:2])
    tried.clear()
    macs = json.loads(Path(folder, "facts.json").read_text(encoding="utf-8"))["macs"]
    known = {"form": form, "error": difference, "macs": batch * macs, **facts}
    forget_peak()  # what the other forms took
    return Job(lambda: run(x), lambda: known)


def error(folder: str, logits: np.ndarray) -> float:
    """Largest difference to our logits, in units of the largest of these."""
    stored = np.load(Path(folder, "logits.npy"))
    expected = np.resize(stored, (len(logits), *stored.shape[1:]))
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


def _fastest(run: Run, x: np.ndarray) -> float:
    times = []
    for _ in range(WARM + REPEATS):
        start = time.perf_counter()
        run(x)
        times.append(time.perf_counter() - start)
    return min(times[WARM:])
