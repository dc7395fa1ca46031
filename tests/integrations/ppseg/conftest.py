"""Tiny images with labels and a tiny network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

SIZE, CLASSES = 64, 3


def write_data(folder: Path, number: int = 4) -> Path:
    """Coloured squares on noise, their labels, and PaddleSeg's lists."""
    rng = np.random.RandomState(0)
    folder.mkdir()
    for split in ("train", "val"):
        lines = []
        for i in range(number):
            labels = np.zeros((SIZE, SIZE), np.uint8)
            for c in range(1, CLASSES):
                y, x = rng.randint(0, SIZE // 2, 2)
                labels[y : y + SIZE // 2, x : x + SIZE // 2] = c
            image = rng.randint(0, 60, (SIZE, SIZE, 3)) + 150 * np.eye(3, dtype=int)[labels]
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{split}{i}.png")
            Image.fromarray(labels).save(folder / f"{split}{i}_labels.png")
            lines.append(f"{split}{i}.png {split}{i}_labels.png\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with train.txt and val.txt."""
    return write_data(tmp_path / "data")


def dataset(data: Path, split: str) -> dict[str, Any]:
    """A block of a configuration."""
    return {
        "type": "Dataset",
        "dataset_root": str(data),
        f"{split}_path": str(data / f"{split}.txt"),
        "num_classes": CLASSES,
        "mode": split,
        "transforms": [{"type": "Normalize"}],
    }


@pytest.fixture
def load(data: Path, tmp_path: Path) -> Callable[..., Any]:
    """Return load(*overrides) -> the configuration of a tiny sampled network on the tiny data."""
    from ppeffconv.integrations.ppseg.settings import RunConfig

    backbone = {
        "type": "EffConvResNet",
        "name": "sampled_resnet18",
        "kwargs": {"width": 8},
        "auxiliary": {"sparse": 0.1},
    }
    content = {
        "batch_size": 2,
        "iters": 4,
        "train_dataset": dataset(data, "train"),
        "val_dataset": dataset(data, "val"),
        "optimizer": {"type": "AdamW", "weight_decay": 0.01},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "power": 0.9, "end_lr": 0},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
        "model": {
            "type": "DilatedFPN",
            "num_classes": CLASSES,
            "channels": 16,
            "head_channels": 16,
            "backbone": backbone,
        },
        "run": {"save_dir": str(tmp_path / "run"), "save_interval": 2, "log_iters": 1},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return lambda *overrides: RunConfig(path, list(overrides))
