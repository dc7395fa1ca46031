"""Folders of scenes: the same bytes for the same settings, whole or not there, train and val apart."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data.scenes import SceneSettings, compose, make_scenes, writer
from ppeffconv.data.workers import WorkerError

from .conftest import SETTINGS


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_layout(scenes):
    assert sorted(path.name for path in scenes.iterdir()) == [
        "annotations", "depth", "images", "labels", "scenes.json", "train.txt", "val.txt",
    ]  # fmt: skip
    for split, count in (("train", 4), ("val", 3)):
        lines = (scenes / f"{split}.txt").read_text().splitlines()
        assert len(lines) == count
        for line in lines:
            image, label = line.split(" ")
            assert Image.open(scenes / image).mode == "RGB"
            assert np.asarray(Image.open(scenes / label)).max() <= 10
            depth = np.asarray(Image.open(scenes / label.replace("labels", "depth")))
            assert depth.dtype == np.uint16
            assert 400 <= depth.min() < depth.max() <= 4500


def test_same_seed_same_bytes_on_any_number_of_workers(scenes, garment_root, tmp_path):
    again = make_scenes(tmp_path / "again", SETTINGS, garment_root, workers=2)
    assert contents(again) == contents(scenes)


def test_another_seed_gives_other_scenes(scenes, garment_root, tmp_path):
    settings = SceneSettings(**{**SETTINGS.__dict__, "seed": 4, "val": 0})
    other = contents(make_scenes(tmp_path / "other", settings, garment_root))
    shared = set(other) & set(contents(scenes)) - {"train.txt"}
    assert sum(path.startswith("images/train") for path in shared) == 4
    assert all(other[path] != contents(scenes)[path] for path in shared)


def test_val_has_garments_of_the_test_part_only(scenes):
    for split, classes in (("train", {1, 2, 3, 4, 5}), ("val", {6, 7, 8, 9, 10})):
        coco = json.loads((scenes / "annotations" / f"instances_{split}.json").read_text())
        found = {row["category_id"] for row in coco["annotations"]}
        assert found
        assert found <= classes


def test_a_stopped_run_is_no_folder_and_is_completed(scenes, garment_root, tmp_path, monkeypatch):
    composed = []

    def stopping(images, classes, settings, key):
        composed.append(tuple(key))
        if len(composed) == 3:
            raise KeyboardInterrupt
        return compose.compose_scene(images, classes, settings, key)

    monkeypatch.setattr(writer, "compose_scene", stopping)
    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / "s", SETTINGS, garment_root)
    assert not (tmp_path / "s").exists()
    folder = make_scenes(tmp_path / "s", SETTINGS, garment_root)
    assert contents(folder) == contents(scenes)
    assert len(composed) == 8  # 7 scenes, the interrupted one twice
    assert composed.count((3, 0, 2)) == 2


def test_a_killed_worker_ends_the_call_with_one_message(scenes, garment_root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(writer, "compose_scene", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(WorkerError, match=r"worker \(process \d+\) was killed by SIGKILL"):
            make_scenes(tmp_path / "s", SETTINGS, garment_root, workers=2)
    assert not (tmp_path / "s").exists()
    assert contents(make_scenes(tmp_path / "s", SETTINGS, garment_root)) == contents(scenes)


def test_a_whole_folder_is_left_alone(scenes, garment_root, tmp_path, monkeypatch):
    folder = shutil.copytree(scenes, tmp_path / "s")
    monkeypatch.setattr(writer, "compose_scene", None)
    assert make_scenes(folder, SETTINGS, tmp_path / "nowhere") == folder
    with pytest.raises(ValueError, match="scenes of other settings.*remove it or choose another"):
        make_scenes(folder, SceneSettings(train=9), garment_root)


def test_a_folder_of_something_else(garment_root, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="photos holds something else"):
        make_scenes(tmp_path / "photos", SETTINGS, garment_root)


def test_a_stopped_run_does_not_stand_in_the_way_of_other_settings(garment_root, tmp_path, monkeypatch, caplog):
    other = SceneSettings(**{**SETTINGS.__dict__, "train": 1, "val": 1})
    expected = contents(make_scenes(tmp_path / "expected", other, garment_root))
    unfinished = tmp_path / "s.partial"
    shutil.copytree(tmp_path / "expected", unfinished)
    (unfinished / "scenes.json").write_text(json.dumps(SETTINGS.as_dict()))
    (unfinished / "images" / "train" / "000003.jpg").write_bytes(b"of the other settings")
    assert contents(make_scenes(tmp_path / "s", other, garment_root)) == expected
    assert "left unfinished with other settings and is removed" in caplog.text
    assert not unfinished.exists()


def test_a_kill_in_the_first_moment(scenes, garment_root, tmp_path):
    (tmp_path / "s.partial").mkdir()
    (tmp_path / "s.partial" / ".scenes.json.99.partial").write_text("{")
    assert contents(make_scenes(tmp_path / "s", SETTINGS, garment_root)) == contents(scenes)


def test_what_is_not_of_its_making_stays(garment_root, tmp_path):
    (tmp_path / "s.partial").mkdir()
    (tmp_path / "s.partial" / "diary.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"s\.partial is in the way and holds no scenes"):
        make_scenes(tmp_path / "s", SETTINGS, garment_root)
    assert (tmp_path / "s.partial" / "diary.txt").is_file()


@pytest.mark.parametrize("missing", ["train", "t10k"])
def test_without_fashion_mnist_nothing_is_left_behind(garment_root, tmp_path, missing):
    part = shutil.copytree(garment_root, tmp_path / "garments")
    (part / f"{missing}-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no Fashion-MNIST.*On Debian"):
        make_scenes(tmp_path / "out" / "s", SETTINGS, part)
    assert not (tmp_path / "out").exists()


def test_workers(tmp_path):
    with pytest.raises(ValueError, match="workers must be at least 1"):
        make_scenes(tmp_path / "s", SETTINGS, workers=0)
