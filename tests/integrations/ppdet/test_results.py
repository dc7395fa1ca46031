"""What is measured of runs, and the table that they become."""

from __future__ import annotations

import json

import pytest

from ppeffconv.integrations.ppdet import register


def test_from_runs_to_the_table(load, tmp_path):
    from ppeffconv.integrations.ppdet import runner, table
    from ppeffconv.integrations.ppdet.speed import measure_runs

    name = "faster_rcnn_resnet18_scenes"
    sampled = ("EffConvResNet.name=sampled_resnet18", "EffConvResNet.auxiliary.sparse=0.1")
    folders = [
        runner.train(load("epoch=1", f"seed={seed}", f"save_dir={tmp_path / 'runs' / str(seed)}", *sampled))
        for seed in (0, 1)
    ]
    measure_runs(folders, rounds=2)
    measured = json.loads((folders[0] / "speed.json").read_text())
    assert measured["milliseconds"].keys() == {"detector", "deployed"}
    rows = table.collect(tmp_path / "runs")
    assert [row["config"] for row in rows] == [name]
    assert [run["seed"] for run in rows[0]["runs"]] == [0, 1]
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- detection -->\nold\n<!-- /detection -->\nafter\n")
    table.write(document, table.render(rows))
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    row = next(line for line in text.splitlines() if name in line)
    assert "(2 seeds)" in row
    assert f"| {measured['macs'] / 1e9:.3f} |" in row
    assert row.count("|") == table.HEADER.count("|")


def test_rendering():
    from ppeffconv.integrations.ppdet import table

    runs = [{"AP": 10.0, "AP50": 20.0}, {"AP": 12.0, "AP50": 20.0}]
    line = table.render([{"config": "a", "runs": runs}]).splitlines()[-1]
    assert line == "| [a](a.yaml) | 11.0 ± 1.4 (2 seeds) | 20.0 ± 0.0 (2 seeds) | – | – | – | – | – |"


def test_nothing_to_show(tmp_path, coco):
    from ppeffconv.integrations.ppdet import table
    from ppeffconv.integrations.ppdet.speed import measure_runs

    with pytest.raises(FileNotFoundError, match="no finished runs"):
        table.collect(tmp_path)
    (tmp_path / "README.md").write_text("no markers")
    with pytest.raises(ValueError, match="must hold the markers"):
        table.write(tmp_path / "README.md", "x")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        measure_runs([tmp_path])


@pytest.mark.parametrize("name", ["", "sampled_"])
def test_multiply_adds(load, name):
    """Of a network that samples: what its blocks report at density 1, the masks included, and the rest."""
    import paddle
    from ppdet.core.workspace import create

    from ppeffconv.integrations.ppdet import cost
    from ppeffconv.layers.density import density_report
    from ppeffconv.models import profile

    register()
    detector = create(load(f"EffConvResNet.name={name}resnet18")["architecture"])
    dense = cost.macs(detector, 64, 64)
    assert dense == profile(cost.FeatureMaps(detector), (3, 64, 64)).macs
    if name:
        detector.eval()
        detector.backbone({"image": paddle.rand([1, 3, 64, 64])})
        rows = density_report(detector.backbone)
        plain = create(load("EffConvResNet.name=resnet18")["architecture"])
        without_masks = cost.macs(detector, 64, 64, sum(row.dense_macs for row in rows))
        assert without_masks == cost.macs(plain, 64, 64)
        assert cost.macs(detector, 64, 64, 0) < dense


def test_steps_with_and_without_the_kernels(load):
    from ppeffconv.integrations.ppdet.speed import compare_steps

    result = compare_steps(load("TrainReader.batch_size=1"), rounds=2)
    assert result["speedup"] > 0
    assert result["seconds"] > 0
