"""The table of depth upsampling, from a run on tiny scenes to the document."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from benchmarks.accuracy import depth_report
from benchmarks.accuracy.depth_pictures import draw_scales
from ppeffconv.engine.depth import evaluate_depth
from ppeffconv.engine.queue import QueuedRun
from ppeffconv.engine.trainer import Trainer
from ppeffconv.models import BicubicUpsampling, GuidedFilterUpsampling

from ...data.scenes.conftest import garment_root, scenes  # noqa: F401 - fixtures
from ...engine.test_depth import configuration

ROWS = [
    {"method": "bicubic", "scale": 4, "rmse": 8.0},
    {"method": "guided_filter", "scale": 4, "rmse": 6.0, "guided": [8, 1e-4]},
    {"method": "bicubic", "scale": 8, "rmse": 14.126},
    *(
        {"method": "ddf_up_net", "scale": scale, "seed": seed, "rmse": rmse, "epoch": 3, "params": params, "macs": 3e9,
         "size": [192, 192], "folder": "x", "command": f"train {scale} {seed}"}
        for scale, seed, rmse, params in ((4, 42, 3.0, 153465), (8, 42, 5.0, 176901), (8, 1, 6.0, 176901))
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def report(scenes, tmp_path_factory):  # noqa: F811
    """The rows of two runs, one of which has not been started."""
    folder = tmp_path_factory.mktemp("report")
    trainer = Trainer(configuration(scenes, folder / "output", "Global.name=first", "Global.epochs=2"))
    result = trainer.train()
    runs = [QueuedRun(name, f"python tools/train.py -c {name}.yaml --resume", folder) for name in ("first", "second")]
    return trainer, result, depth_report.collect(runs, folder / "output"), folder


def test_rows(report):
    trainer, result, rows, _ = report
    assert [row["method"] for row in rows] == ["bicubic", "guided_filter", "ddf_up_net"]
    assert rows[2]["rmse"] == result.best.score
    assert rows[2]["command"] == "python tools/train.py -c first.yaml"
    assert rows[2]["size"] == [61, 83]
    assert rows[0]["rmse"] == evaluate_depth(BicubicUpsampling(4), trainer.eval_loader)["rmse"]
    radius, eps = rows[1]["guided"]
    assert rows[1]["rmse"] == evaluate_depth(GuidedFilterUpsampling(4, radius, eps), trainer.eval_loader)["rmse"]


def test_no_run_yet(tmp_path):
    with pytest.raises(ValueError, match="no run of the queue has a checkpoint"):
        depth_report.collect([QueuedRun("first", "python x", tmp_path)], tmp_path)


def test_pictures_and_document(report):
    _, _, rows, folder = report
    names = draw_scales(rows, folder / "output", folder)
    assert names == ["scenes_x4.png"]
    with Image.open(folder / names[0]) as picture:
        assert picture.width > picture.height > 400  # six panels for each of three examples
    document = folder / "README.md"
    document.write_text("before\n<!-- upsampling -->\nold\n<!-- /upsampling -->\nafter\n")
    for _ in range(2):  # a second time changes nothing
        depth_report.write_into(document, rows, names)
        text = document.read_text()
        assert text.startswith("before\n<!-- upsampling -->\n| RMSE in cm | x4 |")
        assert text.endswith("![scenes x4](scenes_x4.png)\n<!-- /upsampling -->\nafter\n")
    depth_report.write_results(rows, folder / "results.json")
    assert json.loads((folder / "results.json").read_text()) == rows


def test_table():
    lines = depth_report.table(ROWS).splitlines()
    assert lines[:2] == ["| RMSE in cm | x4 | x8 | parameters | multiply-adds |", "|---|---|---|---|---|"]
    assert lines[2] == "| bicubic | 8.00 | 14.13 | 0 | – |"
    assert lines[3] == "| guided filter | 6.00 | – | 0 | – |"
    assert lines[4] == "| **DDF-Up-Net** | 3.00 | 5.50 (5.00 to 6.00, 2 seeds) | 153 to 177 k | 3 G at 192x192 |"
    assert "| ddf_up_net x8, seed 1 | 6.00 | 3 | `train 8 1` |" in lines
    assert lines[-1] == "Radius and ε of the guided filter, chosen on training pairs: x4: 8 and 0.0001."


def test_unfit_documents(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        depth_report.write_into(tmp_path / "README.md", ROWS)
    (tmp_path / "README.md").write_text("no markers")
    with pytest.raises(ValueError, match="must hold the markers .* once, it has them 0 times"):
        depth_report.write_into(tmp_path / "README.md", ROWS)
