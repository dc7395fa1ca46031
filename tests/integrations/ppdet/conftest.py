"""Tiny COCO data and a tiny detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "configs" / "detection" / "faster_rcnn_resnet18_scenes.yaml"
COLOURS = {2: (220, 40, 40), 5: (40, 220, 40), 9: (40, 40, 220)}  # by category; the ids have gaps
SMALL = (
    "epoch=2",
    "snapshot_epoch=1",
    "log_iter=1",
    "num_classes=3",
    "TrainReader.batch_size=2",
    "EvalReader.batch_size=2",
    "EffConvResNet.kwargs.width=8",
    "EffConvFPN.out_channel=16",
    "RPNHead.train_proposal.post_nms_top_n=20",
    "RPNHead.test_proposal.post_nms_top_n=20",
    "TwoFCHead.out_channel=16",
)


def write_coco(folder: Path, number: int = 4, size: int = 64) -> dict[str, Any]:
    """Draw coloured rectangles on noise, write images and their COCO file; return its content."""
    rng = np.random.RandomState(0)
    images, boxes = [], []
    (folder / "images").mkdir(parents=True)
    for i in range(number):
        picture = rng.randint(0, 60, (size, size, 3)).astype(np.uint8)
        for category in rng.choice(list(COLOURS), 2):
            w, h = (int(side) for side in rng.randint(size // 4, size // 2, 2))
            x, y = int(rng.randint(0, size - w)), int(rng.randint(0, size - h))
            picture[y : y + h, x : x + w] = COLOURS[int(category)]
            box = {"image_id": i, "category_id": int(category), "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
            boxes.append({"id": len(boxes) + 1, **box})
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": size, "height": size})
    categories = [{"id": category, "name": f"kind {category}"} for category in COLOURS]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))
    return content


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A folder with images/ and boxes.json."""
    write_coco(tmp_path / "coco")
    return tmp_path / "coco"


@pytest.fixture
def load(coco: Path, tmp_path: Path) -> Callable[..., Any]:
    """Return load(*overrides) -> the configuration of a tiny detector on the tiny data."""
    from ppeffconv.integrations.ppdet import config

    paths = [f"save_dir={tmp_path / 'output'}", f"TestDataset.dataset_dir={coco}", "TestDataset.anno_path=boxes.json"]
    for name in ("TrainDataset", "EvalDataset"):
        paths += [f"{name}.dataset_dir={coco}", f"{name}.image_dir=images", f"{name}.anno_path=boxes.json"]
    return lambda *overrides: config.load(CONFIG, [*SMALL, *paths, *overrides])
