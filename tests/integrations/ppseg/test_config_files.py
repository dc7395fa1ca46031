"""Every file in configs/segmentation: it loads, its network takes its images, the README and the queue name it."""

from __future__ import annotations

import re
from pathlib import Path

import paddle
import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "configs" / "segmentation"
SMALL = ["model.backbone.kwargs.width=4", "model.channels=8", "model.head_channels=8"]
RANDOM = ["model.pretrained=null", "model.backbone.pretrained=null"]
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "runs.yaml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads_and_its_network_takes_its_images(path):
    from paddleseg.cvlibs import SegBuilder, manager

    from ppeffconv.integrations.ppseg.settings import RunConfig
    from ppeffconv.layers import auxiliary_losses

    cfg = RunConfig(path, SMALL + RANDOM if path.name.startswith("dilated_fpn") else [])
    builder = SegBuilder(cfg)
    model = builder.model
    model.train()
    (logits,) = model(paddle.randn([2, 3, 32, 48]))
    assert logits.shape == [2, cfg.model_cfg["num_classes"], 32, 48]
    assert set(getattr(model.backbone, "auxiliary", {})) <= set(auxiliary_losses(model))
    for split in (cfg.train_dataset_cfg, cfg.val_dataset_cfg):
        assert split["type"] in manager.DATASETS.components_dict
        for transform in split["transforms"]:
            builder.build_component(transform)
    assert builder.optimizer.get_lr() > 0
    assert len(builder.loss["types"]) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_short_and_says_how_to_run_it(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 120
    header = re.match(r"(#.*\n)+", text).group()
    assert f"python -m ppeffconv.integrations.ppseg train -c configs/segmentation/{path.name}\n" in header
    assert "# Expect:" in header


def test_readme_and_queue_name_every_file():
    from ppeffconv.engine.queue import read_queue

    readme = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"\]\(([^)]+\.yaml)\)", readme)) == {path.name for path in FILES}
    runs = read_queue(FOLDER / "runs.yaml")
    started = "dilated_fpn_resnet50_scenes_pretrain.yaml"  # which the others need, and so is trained before
    named = {started} | {re.search(r"-c configs/segmentation/(\S+)", run.command)[1] for run in runs}
    assert named == {path.name for path in FILES if path.name.startswith("dilated_fpn") and "scenes" in path.name}
    assert all("--resume" in run.command and f"/{run.name} " in f"{run.command} " for run in runs)
