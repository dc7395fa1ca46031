"""Every file under configs/: it loads, its names exist, its network takes its images, its README lists it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

import ppeffconv
from ppeffconv.config import load_config
from ppeffconv.data import DATASETS, build_transforms
from ppeffconv.registry import check_arguments

ROOT = Path(__file__).parents[1]
TOOLKITS = ("detection", "segmentation")  # in the toolkits' own form, see tests/integrations
LISTS = ("runs.yaml", "figures.yaml")  # of runs, see engine/queue.py, and of what papers print, see results/papers.py
FILES = sorted(
    p for p in (ROOT / "configs").rglob("*.y*ml") if not {"_base_", *TOOLKITS} & set(p.parts) and p.name not in LISTS
)
FRAGMENTS = sorted((ROOT / "configs" / "_base_").rglob("*.yaml"))
METHODS = ("baselines", "octconv", "spconv", "versatile", "ddf", "sampling", "gating")
DEPTH = {"SceneDepth": (192, 192), "NYUv2": (480, 640)}


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(params=FILES, ids=name_of)
def path(request):
    return request.param


def test_loads_and_names_what_exists(path):
    cfg = load_config(path)
    assert cfg["Global"]["name"] == path.stem
    for split, block in cfg["DataLoader"].items():
        size = {"Digits": (32, 32), "FashionMNIST": (28, 28), "Cifar10": (32, 32), "ImageNet": (375, 500)}
        dataset = dict(block["dataset"])
        name = dataset.pop("name")
        check_arguments(DATASETS.get(name), dataset, f"{path.name}: {split} dataset {name}")
        if name in DEPTH:
            pair = np.zeros((*DEPTH[name], 3), np.uint8), np.zeros(DEPTH[name], np.float32)
            x, target = build_transforms(block["transforms"])(pair)
            side = DEPTH[name]
            if split == "Train":
                side = [block["transforms"][0]["RandomCropPair"]["size"]] * 2
                assert side[0] % 16 == 0
            assert (x.shape, target.shape) == ((4, *side), (1, *side))
            continue
        channels = cfg["Arch"].get("in_channels", 3)
        image = np.random.RandomState(0).randint(0, 256, (*size[name], channels)).astype(np.uint8)
        array = build_transforms(block["transforms"])(image)
        assert array.shape == ((channels, 224, 224) if name == "ImageNet" else (channels, *size[name]))
        assert cfg["Arch"]["num_classes"] == (1000 if name == "ImageNet" else 10)


def test_its_network_takes_its_images(path):
    cfg = load_config(path)
    arch = dict(cfg["Arch"])
    if cfg["DataLoader"]["Train"]["dataset"]["name"] == "ImageNet":
        arch["num_classes"] = 10  # as for all networks here, the classifier is not what is in question
    net = ppeffconv.create_model(**arch)
    net.train()
    if cfg["Global"]["task"] == "depth_upsampling":
        assert net(paddle.rand([2, 4, 32, 48])).shape == [2, 1, 32, 48]
        return
    size = 28 if cfg["DataLoader"]["Train"]["dataset"]["name"] == "FashionMNIST" else 32
    images = paddle.rand([2, arch.get("in_channels", 3), size, size])
    assert net(images).shape == [2, 10]
    assert set(cfg["Loss"]["auxiliary"]) <= set(net.auxiliary_losses())


def test_is_short_and_says_how_to_run_it(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 120
    header = re.match(r"(#.*\n)+", text).group()
    assert f"tools/train.py -c {name_of(path)}" in header
    assert "# Expect:" in header


@pytest.mark.parametrize("folder", [*METHODS, "upsampling"])
def test_the_folders_readme_lists_its_files(folder):
    readme = (ROOT / "configs" / folder / "README.md").read_text()
    links = set(re.findall(r"\]\(([^)]+\.yaml)\)", readme))
    assert {p.name for p in FILES if p.parent.name == folder} <= links
    assert all((ROOT / "configs" / folder / link).is_file() for link in links)
    for line in readme.splitlines():
        link = re.search(r"\]\(([^)]+\.yaml)\)", line)
        if link:
            name = load_config(ROOT / "configs" / folder / link.group(1))["Arch"]["name"]
            assert f"| {name}" in line


def test_every_method_has_its_fashion_mnist_file():
    assert {p.parent.name for p in FILES if p.stem.endswith("_fashion_mnist")} == set(METHODS)


def test_every_fragment_is_used():
    used = set()
    for path in FILES:
        bases = yaml.safe_load(path.read_text())["_base_"]
        used |= {(path.parent / base).resolve() for base in bases}
    assert used == {path.resolve() for path in FRAGMENTS}
