"""The table of the papers' figures is what the command gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

import ppeffconv
from benchmarks.accuracy.papers import Figure, count, read_figures, render, render_row, write

FOLDER = Path(__file__).parents[3] / "configs" / "papers"
ROWS, NOTES, SOURCES = read_figures(FOLDER / "figures.yaml")
TABLE = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
SMALL = [row for row in ROWS if (tuple(row.input) == (3, 32, 32) and row.tiles == 1) or "mobilenet" in row.model]


def test_the_table_has_every_row_and_every_note():
    labels = [line.split(" | ")[0].removeprefix("| ") for line in TABLE if line.startswith("| `")]
    assert labels == [row.label for row in ROWS]
    for number, text in enumerate(NOTES.values(), start=1):
        assert f"({number}) {text.strip()}" in TABLE


@pytest.mark.parametrize("row", SMALL, ids=lambda row: row.label)
def test_rows_of_small_networks_are_what_is_counted(row):
    assert render_row(row, list(NOTES), SOURCES) in TABLE


def test_two_small_images_tell_the_cost_of_a_large_one():
    for model, arguments in (("oct_mobilenet_v1", {"alpha": 0.5}), ("ddf_resnet50", {}), ("se_resnet50", {})):
        net = ppeffconv.create_model(model, **arguments)
        assert count(Figure(model, "", arguments))[2] == ppeffconv.profile(net, (3, 224, 224)).macs


def test_write(tmp_path):
    content = yaml.safe_load((FOLDER / "figures.yaml").read_text(encoding="utf-8"))
    content["rows"] = [row for row in content["rows"] if row["model"] == "sp_resnet20"]
    (tmp_path / "figures.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    shutil.copy(FOLDER / "README.md", tmp_path / "README.md")
    write(tmp_path)
    lines = (tmp_path / "README.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("| `") for line in lines) == 2


def test_mistakes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="configs/papers"):
        read_figures(tmp_path / "figures.yaml")
    path = tmp_path / "figures.yaml"
    for row, message in (
        ({"model": "resnet20", "source": "s", "mac": "1G"}, "mac"),
        ({"model": "resnet20", "source": "t"}, "source 't'"),
        ({"model": "resnet20", "source": "s", "note": "n"}, "note 'n'"),
    ):
        path.write_text(yaml.safe_dump({"rows": [row], "notes": {}, "sources": {"s": ""}}), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read_figures(path)
    with pytest.raises(ValueError, match="a number with k, M, G or MB"):
        render([Figure("resnet20", "s", macs="41 million", input=(3, 32, 32))], {}, {"s": ""})
