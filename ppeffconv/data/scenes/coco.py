"""Scenes in COCO's JSON: boxes, masks as run lengths, areas and categories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..fashion_mnist import CLASS_NAMES
from .compose import Scene

CATEGORIES = [{"id": 1 + i, "name": name, "supercategory": "garment"} for i, name in enumerate(CLASS_NAMES)]


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return COCO's uncompressed run lengths of a boolean mask [H, W]: column by column, zeros first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0] if flat[0] else [], changes, [flat.size]]).astype(int)
    return np.diff(ends, prepend=0).tolist()


def scene_annotations(scene: Scene) -> list[dict[str, Any]]:
    """Return one annotation for each garment, back to front, of its visible part; without ids."""
    return [_annotation(scene.owner == 1 + i, category) for i, category in enumerate(scene.classes)]


def _annotation(mask: np.ndarray, category: int) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "category_id": 1 + category,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
    }


def document(
    images: Iterable[str], annotations: Iterable[list[dict[str, Any]]], height: int, width: int
) -> dict[str, Any]:
    """Return the JSON of a split: ids are given in order, from 1.

    Args:
        images: file names, relative to the folder that is given as the image folder.
        annotations: those of each image, from `scene_annotations`.
    """
    names = list(images)
    entries = [{"id": 1 + i, "file_name": name, "height": height, "width": width} for i, name in enumerate(names)]
    rows = [{"image_id": 1 + i, **row} for i, some in enumerate(annotations) for row in some]
    return {
        "info": {"description": "scenes of Fashion-MNIST garments", "version": "1.0"},
        "licenses": [],
        "images": entries,
        "annotations": [{"id": 1 + i, **row} for i, row in enumerate(rows)],
        "categories": CATEGORIES,
    }
