"""Write scenes to a folder that is either whole or not there, in several processes, and go on where a kill left off."""

from __future__ import annotations

import colorsys
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from ...utils.files import replacing
from ...utils.logger import get_logger
from ..fashion_mnist import CLASS_NAMES, FashionMNIST
from ..workers import in_workers
from .coco import document, scene_annotations
from .compose import compose_scene
from .settings import SceneSettings

SPLITS = ("train", "val")
SETTINGS_FILE = "scenes.json"
PALETTE = [0, 0, 0] + [
    round(255 * channel)
    for i in range(len(CLASS_NAMES))
    for channel in colorsys.hsv_to_rgb(i / len(CLASS_NAMES), 0.65, 0.95)
]


def make_scenes(output: str | Path, settings: SceneSettings, root: str | Path | None = None, workers: int = 1) -> Path:
    """Make a set of scenes.

    The folder then holds, for each split (train, val)::

        images/<split>/000000.jpg            colour
        labels/<split>/000000.png            semantic labels: 0 = background, 1 to 10 = the COCO category
        depth/<split>/000000.png             16-bit, in millimetres
        annotations/instances_<split>.json   COCO; images relative to images/<split>; back to front in each image
        <split>.txt                          PaddleSeg's list, "images/... labels/..."
        scenes.json                          the settings

    The files are a function of the settings, whatever the number of workers. They grow in ``<output>.partial``, and get
    their name when all are there. What a stopped call has left there, the next one with the same settings completes,
    and one with other settings replaces.

    Args:
        output: the folder.
        settings: what to make.
        root: where Fashion-MNIST is; see `FashionMNIST`.
        workers: processes.

    Returns:
        ``output``.

    Raises:
        ValueError: the folder, or its unfinished form, holds something else.
        FileNotFoundError: no Fashion-MNIST; then nothing is written.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    output = Path(output).expanduser()
    if _is_there(output, settings):
        return output
    unfinished = output.with_name(f"{output.name}.partial")
    garments = {
        split: FashionMNIST(None if root is None else str(root), train=split == "train")
        for split in SPLITS
        if settings.count(split)
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(output.with_name(f".{output.name}.lock")):
        if _is_there(output, settings):  # by another process, which this one has waited for
            return output
        if unfinished.exists() and _settings_in(unfinished) != settings.as_dict():
            _discard(unfinished)
        _write_json(unfinished / SETTINGS_FILE, settings.as_dict())
        for split in SPLITS:
            _write_split(unfinished, split, settings, garments.get(split), workers)
        shutil.rmtree(unfinished / "parts")
        for leftover in unfinished.rglob(".*.partial"):  # of files that a kill cut short
            leftover.unlink()
        unfinished.rename(output)
    return output


def _is_there(folder: Path, settings: SceneSettings) -> bool:
    """Whether ``folder`` holds the scenes of these settings; ValueError if it holds anything else."""
    if not folder.exists():
        return False
    found = _settings_in(folder)
    if found != settings.as_dict():
        what = "something else" if found is None else f"scenes of other settings, {found}"
        raise ValueError(f"{folder} holds {what}; expected {settings.as_dict()}: remove it or choose another folder")
    get_logger().info(f"scenes: {folder} is there already")
    return True


def _settings_in(folder: Path) -> Any:
    """The settings that a folder of scenes was begun with; None if it is none."""
    try:
        return json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _discard(unfinished: Path) -> None:
    """Remove what a stopped call with other settings has left; ValueError if it is not of this program's making."""
    if _settings_in(unfinished) is None and any(
        not path.name.startswith(f".{SETTINGS_FILE}.") for path in unfinished.iterdir()
    ):
        raise ValueError(f"{unfinished} is in the way and holds no scenes: remove it or choose another folder")
    get_logger().warning(f"scenes: {unfinished} was left unfinished with other settings and is removed")
    for path in unfinished.iterdir():  # the settings last, so that a kill in the midst leaves what is still known
        if path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree(unfinished)


def _write_split(
    folder: Path, split: str, settings: SceneSettings, garments: FashionMNIST | None, workers: int
) -> None:
    for kind in ("images", "labels", "depth", "parts"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    names = [f"{i:06d}" for i in range(settings.count(split))]
    missing = [i for i, name in enumerate(names) if not _part(folder, split, name).is_file()]
    if missing:
        write = partial(_write_scene, folder, split, settings, garments.images[..., 0], garments.labels)
        for done, _ in enumerate(in_workers(write, missing, workers) if workers > 1 else map(write, missing), start=1):
            if done % 200 == 0 or done == len(missing):
                get_logger().info(f"scenes: {split} {len(names) - len(missing) + done} of {len(names)}")
    parts = (json.loads(_part(folder, split, name).read_text(encoding="utf-8")) for name in names)
    files = [f"{name}.jpg" for name in names]
    coco = document(files, parts, settings.height, settings.width)
    _write_json(folder / "annotations" / f"instances_{split}.json", coco)
    lines = [f"images/{split}/{name}.jpg labels/{split}/{name}.png\n" for name in names]
    (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")


def _write_scene(
    folder: Path, split: str, settings: SceneSettings, images: np.ndarray, classes: np.ndarray, index: int
) -> None:
    """Write the files of one scene; its annotations come last, and so stand for all of them."""
    scene = compose_scene(images, classes, settings, [settings.seed, SPLITS.index(split), index])
    name = f"{index:06d}"
    labels = Image.fromarray(scene.labels)
    labels.putpalette(PALETTE)  # for the eye; the values stay what they are
    Image.fromarray(scene.image).save(folder / "images" / split / f"{name}.jpg", quality=95, subsampling=0)
    labels.save(folder / "labels" / split / f"{name}.png")
    Image.fromarray(scene.depth).save(folder / "depth" / split / f"{name}.png")
    _write_json(_part(folder, split, name), scene_annotations(scene))


def _part(folder: Path, split: str, name: str) -> Path:
    return folder / "parts" / split / f"{name}.json"


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
