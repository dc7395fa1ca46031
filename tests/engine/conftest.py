"""A tiny network on tiny images: a whole training takes a fraction of a second."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn
from PIL import Image

from ppeffconv.config import Config, load_config
from ppeffconv.engine import build
from ppeffconv.utils import logger

TRANSFORMS = ["ToArray", {"Normalize": {"mean": 0.5, "std": 0.25}}]


class TinyNet(nn.Layer):
    """Convolution, batch norm, dropout (so that the random state matters) and a classifier."""

    def __init__(self, num_classes: int = 3, in_channels: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2D(in_channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2D(4)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.drop(nn.functional.relu(self.norm(self.conv(x))).mean([2, 3])))

    def auxiliary_losses(self) -> dict[str, paddle.Tensor]:
        return {"sparse": (self.fc.weight**2).mean()}


def write_images(root: Path, per_class: int, seed: int) -> None:
    """Write grey 8x8 images of three classes that differ in brightness."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(("dark", "grey", "light")):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(rng.normal(60 + 60 * label, 40, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_images(root / "train", 7, seed=1)
    write_images(root / "eval", 3, seed=2)
    return root


def tiny_tree(image_root: Path, output: Path) -> dict:
    """A configuration with 21 images in batches of 4: 6 steps per epoch."""

    def split(name: str, more: list) -> dict:
        dataset = {"name": "ImageFolder", "root": str(image_root / name), "image_mode": "L"}
        return {"dataset": dataset, "transforms": more + TRANSFORMS, "batch_size": 4}

    return {
        "Global": {"epochs": 4, "output_dir": str(output), "log_interval": 2, "use_visualdl": False},
        "Arch": {"name": "resnet20", "num_classes": 3, "in_channels": 1},
        "Optimizer": {"lr": 0.05},
        "DataLoader": {
            "Train": split("train", [{"RandomCrop": {"size": 8, "padding": 1}}]),
            "Eval": split("eval", []),
        },
        "Metric": {"topk": [1]},
    }


@pytest.fixture
def make_cfg(image_root: Path, tmp_path: Path) -> Callable[..., Config]:
    """Return make(*overrides, **blocks): the tiny configuration, changed."""

    def make(*overrides: str, **blocks: dict) -> Config:
        tree = copy.deepcopy(tiny_tree(image_root, tmp_path / "output"))
        for name, block in blocks.items():
            tree[name] = {**tree.get(name, {}), **block}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(tree))
        return load_config(path, overrides)

    return make


@pytest.fixture
def tiny_net(monkeypatch: pytest.MonkeyPatch) -> type[TinyNet]:
    """Let every configuration build a TinyNet."""

    def create_model(name: str, **arguments) -> nn.Layer:
        return TinyNet(**arguments)

    monkeypatch.setattr(build, "create_model", create_model)
    return TinyNet


@pytest.fixture(autouse=True)
def close_log():
    yield
    logger.close()
