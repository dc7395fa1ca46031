"""Whose configuration a file is, also where its bases say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppeffconv.integrations.recognise import DETECTION, OURS, SEGMENTATION, owner_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FOLDERS = {"detection": DETECTION, "segmentation": SEGMENTATION}
FILES = sorted(
    path
    for path in CONFIGS.rglob("*.yaml")
    if not {"_base_", "runs.yaml"} & {*path.parts} and "_base_" in path.read_text().lower()
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_ours(path):
    assert owner_of(path) == FOLDERS.get(path.parent.name, OURS)


def test_what_is_none(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("TrainDataset: !COCODataSet {dataset_dir: x}\narchitecture: YOLOv3\n")
    assert owner_of(path) == DETECTION
    path.write_text("epochs: 3\n")
    with pytest.raises(ValueError, match=r"a.yaml is no configuration that is known here"):
        owner_of(path)
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        owner_of(tmp_path / "b.yaml")
