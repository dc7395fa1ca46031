"""A run from its training to record, weights, milliseconds and tables, with a small network on small images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from benchmarks.accuracy import examine as examine_module
from benchmarks.accuracy.collect import collect
from benchmarks.accuracy.examine import hits, read_curve
from benchmarks.accuracy.record import read_records
from ppeffconv import create_model, profile
from ppeffconv.config import load_config
from ppeffconv.data import build_loader
from ppeffconv.engine.queue import read_queue
from ppeffconv.engine.trainer import Trainer
from ppeffconv.layers import density
from ppeffconv.utils import logger
from ppeffconv.weights import load_weights
from ppeffconv.weights.table import table

RUNS = {"dense_seed0": {"name": "resnet20"}, "sampled_05_seed0": {"name": "sampled_resnet20"}}
SMALL = {"width": 4, "num_classes": 3, "in_channels": 1}
BEGAN = "2026-01-02T03:04:05"


def train(folder: Path, name: str, arch: dict) -> None:
    """One run of two epochs on 24 grey images, and the queue's note that it is done."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("eval", 5)):
        for label in "abc":
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = np.clip(rng.normal(60 + 60 * "abc".index(label), 40, (12, 12)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{i}.png")

    def data(split: str) -> dict:
        dataset = {"name": "ImageFolder", "root": str(folder / split), "image_mode": "L"}
        return {
            "dataset": dataset,
            "transforms": ["ToArray", {"Normalize": {"mean": 0.5, "std": 0.25}}],
            "batch_size": 8,
        }

    options = {"eval_mode": "deterministic"} if name.startswith("sampled") else {}
    tree = {
        "Global": {"name": name, "epochs": 2, "output_dir": str(folder / "out"), "use_visualdl": False},
        "Arch": {**arch, **SMALL, **options},
        "Optimizer": {"lr": 0.01},
        "DataLoader": {"Train": data("train"), "Eval": data("eval")},
        "Metric": {"topk": [1]},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    Trainer(load_config(folder / f"{name}.yaml")).train()
    logger.close()
    note = {"command": f"train {name}", "attempts": [{"began": BEGAN, "seconds": 90.0, "code": 0}]}
    (folder / "out" / f"{name}.json").write_text(json.dumps(note))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, arch in RUNS.items():
        train(folder, name, arch)
    queue = {"output": str(folder / "out"), "runs": {name: f"train {name}" for name in [*RUNS, "sp_2_seed0"]}}
    (folder / "runs.yaml").write_text(yaml.safe_dump(queue, sort_keys=False))
    return folder


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "weights" / "files").mkdir(parents=True)
    (tmp_path / "weights" / "table.yaml").write_text("weights: []\n")
    return tmp_path / "weights"


def test_records_and_weights(trained, weights, tmp_path):
    runs = read_queue(trained / "runs.yaml")
    new = collect(runs, tmp_path / "records", weights)
    assert [record.name for record in new] == list(RUNS)  # and not the one that waits
    kept = read_records(tmp_path / "records")
    dense, sampled = kept["dense"][0], kept["sampled_05"][0]
    net = create_model("resnet20", num_classes=3, width=4, in_channels=1)
    load_weights(net, trained / "out/dense_seed0/latest/model.pdparams")
    net.eval()
    cfg = load_config(trained / "out/dense_seed0/config.yaml")
    images, labels = (paddle.concat(parts) for parts in zip(*build_loader(cfg, "Eval")))
    right = (net(images).argmax(1) == labels.flatten()).astype("float32").numpy()
    assert dense.top1 == pytest.approx(right.mean(), abs=1e-7)
    assert (dense.samples, dense.first) == (15, int(right.sum()))
    assert dense.curve[-1] == pytest.approx(dense.top1, abs=1e-4)
    assert (len(dense.curve), dense.epochs, dense.seconds, dense.began) == (2, 2, 90.0, BEGAN)
    assert (dense.macs, dense.density) == (profile(net, (1, 12, 12)).macs, None)
    assert dense.params == profile(net, (1, 12, 12)).params
    for record, tag in ((dense, "fashion-mnist-dense"), (sampled, "fashion-mnist-sampled-05")):
        row = next(row for row in table(weights) if row.tag == tag)
        assert (row.model, row.classes, row.arguments) == (record.model, 3, record.arguments)
        assert row.preprocessing == {"color": "grey", "mean": 0.5, "std": 0.25}
        again = create_model(row.model, num_classes=3, **row.arguments)
        load_weights(again, weights / "files" / row.file)
        again.eval()
        assert hits(again, [(images, labels)]).mean() == pytest.approx(record.top1, abs=1e-7)
        if record is sampled:  # one batch of all images has the mean density
            assert record.density == pytest.approx(density(again), abs=0.02)
    before = (tmp_path / "records/dense_seed0.json").stat().st_mtime_ns
    assert collect(runs, tmp_path / "records", weights) == []
    assert (tmp_path / "records/dense_seed0.json").stat().st_mtime_ns == before


def test_a_run_that_cannot_be_kept_is_told_and_the_others_are_kept(trained, weights, tmp_path, monkeypatch):
    curves = iter([[0.1, 2.0], None])

    def read(log):
        return next(curves) or read_curve(log)

    monkeypatch.setattr(examine_module, "read_curve", read)
    with pytest.raises(RuntimeError, match=r"dense_seed0.latest scores 0\.\d+ after 2 epochs, but its log ends in"):
        collect(read_queue(trained / "runs.yaml"), tmp_path / "records", weights)
    assert list(read_records(tmp_path / "records")) == ["sampled_05"]


def test_a_network_that_went_astray():
    def astray(images):
        return images * float("nan")

    with pytest.raises(RuntimeError, match="not finite"):
        hits(astray, [(paddle.ones([2, 3]), paddle.zeros([2, 1], "int64"))])


def test_a_folder_that_is_gone(trained, weights, tmp_path):
    runs = read_queue(trained / "runs.yaml")
    note = json.dumps({"command": runs[2].command, "attempts": [{"began": BEGAN, "seconds": 1.0, "code": 0}]})
    (tmp_path / "sp_2_seed0.json").write_text(note)
    (tmp_path / "runs.yaml").write_text(
        yaml.safe_dump({"output": str(tmp_path), "runs": {runs[2].name: runs[2].command}})
    )
    with pytest.raises(RuntimeError, match="sp_2_seed0 is done, but its folder in .* is gone"):
        collect(read_queue(tmp_path / "runs.yaml"), tmp_path / "records", weights)


def test_the_last_evaluation_of_an_epoch_counts(tmp_path):
    lines = [
        "[..] INFO: evaluation after epoch 1: loss 1.2 | top1 0.5000 | top5 0.9 | samples 15",
        "[..] INFO: evaluation after epoch 2: loss 1.1 | top1 0.6000 | top5 0.9 | samples 15",
        "[..] INFO: evaluation after epoch 2 (averaged weights): loss 1.1 | top1 0.6100 | top5 0.9 | samples 15",
        "[..] INFO: evaluation after epoch 10: loss 1.1 | top1 0.7000 | top5 0.9 | samples 15",
    ]
    (tmp_path / "train.log").write_text("\n".join(lines))
    assert read_curve(tmp_path / "train.log") == [0.5, 0.61, 0.7]
