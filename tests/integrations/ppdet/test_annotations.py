"""COCO files as they should not be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from .conftest import write_coco


@pytest.fixture
def check(coco):
    """Return check(change) -> (content that is used, whether it is a copy), after ``change(content)``."""
    from ppeffconv.integrations.ppdet.annotations import sound_copy

    def run(change=lambda content: None, num_classes=3):
        content = json.loads((coco / "boxes.json").read_text())
        change(content)
        (coco / "boxes.json").write_text(json.dumps(content))
        target = coco / "copy" / "boxes.json"
        used = sound_copy(coco / "boxes.json", coco / "images", num_classes, target)
        return json.loads(used.read_text()), used == target

    return run


def test_a_sound_file_is_used_itself(check):
    content, copied = check()
    assert not copied
    assert len(content["images"]) == 4


def test_missing_and_damaged_images_are_left_out_with_their_boxes(check, coco, caplog):
    (coco / "images" / "0.png").unlink()
    whole = (coco / "images" / "1.png").read_bytes()
    (coco / "images" / "1.png").write_bytes(whole[: len(whole) // 2])
    (coco / "images" / "2.png").write_bytes(b"")
    content, copied = check()
    assert copied
    assert [image["id"] for image in content["images"]] == [3]
    assert {box["image_id"] for box in content["annotations"]} == {3}
    assert "1 images missing" in caplog.text
    assert "2 images damaged" in caplog.text


def test_boxes(check, caplog):
    def change(content):
        boxes = content["annotations"]
        boxes[0]["bbox"] = [10, 10, 0, 5]  # a line
        boxes[1]["bbox"] = [100, 100, 20, 20]  # outside of 64 x 64
        boxes[2]["bbox"] = [-10, 50, 30, 40]  # sticks out
        boxes[3]["category_id"] = 3  # in a gap
        boxes[4]["image_id"] = 77
        boxes[5]["bbox"] = [1, 2, float("nan"), 4]
        del boxes[6]["area"], boxes[7]["iscrowd"]

    content, copied = check(change)
    assert copied
    left = {box["id"]: box for box in content["annotations"]}
    assert set(left) == {3, 7, 8}
    assert left[3]["bbox"] == [0, 50, 20, 14]
    assert left[3]["area"] <= 20 * 14
    assert left[7]["area"] == left[7]["bbox"][2] * left[7]["bbox"][3]
    assert left[8]["iscrowd"] == 0
    for found in (
        "1 boxes without area",
        "1 boxes outside their image",
        "1 boxes cut at the image's edge",
        "1 boxes of unknown categories",
        "1 boxes of unknown images",
        "1 boxes without four numbers",
        "1 boxes whose iscrowd is not given",
    ):
        assert found in caplog.text


def test_a_box_that_sticks_out_by_a_rounding_stays(check):
    def change(content):
        content["annotations"][0]["bbox"] = [-0.5, 0, 64.9, 64.2]

    assert not check(change)[1]


def test_a_size_that_is_not_told_is_read(check):
    def change(content):
        del content["images"][0]["width"]

    assert check(change)[0]["images"][0]["width"] == 64


@pytest.mark.parametrize(
    ("change", "num_classes", "message"),
    [
        (lambda c: None, 2, "has 3 categories, but num_classes is 2: -o num_classes=3"),
        (lambda c: None, 4, "has 3 categories, but num_classes is 4: -o num_classes=3"),
        (lambda c: c.update(annotations=[]), 3, "none of its 0 boxes can be used"),
        (lambda c: c.pop("annotations"), 3, "none of its 0 boxes can be used"),
        (
            lambda c: [b.update(iscrowd=1) for b in c["annotations"]],
            3,
            "none of its 8 boxes can be used.*, 8 of crowds",
        ),
        (
            lambda c: [b.update(bbox=[1, 1, 0, 5]) for b in c["annotations"]],
            3,
            "none of its 8 .*: 8 boxes without area",
        ),
        (lambda c: c.pop("images"), 3, "not a COCO file: it has no images"),
        (lambda c: c.update(images=[]), 3, "none of its 0 images"),
    ],
)
def test_what_cannot_be_used_at_all(check, change, num_classes, message):
    with pytest.raises(ValueError, match=message):
        check(change, num_classes)


def test_other_classes_in_the_evaluation(load, coco):
    from ppeffconv.integrations.ppdet import runner

    content = json.loads((coco / "boxes.json").read_text())
    content["categories"][1]["name"] = "another"
    (coco / "val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"must be the same.* differ first in \(5, 'kind 5'\) and \(5, 'another'\)"):
        runner.train(load("EvalDataset.anno_path=val.json"))


def test_missing_scenes_are_named(tmp_path):
    from ppeffconv.integrations.ppdet.annotations import sound_copy

    folder = tmp_path / "scenes"
    with pytest.raises(
        FileNotFoundError, match=rf"make the scenes with `python tools/make_scenes.py --output {folder}`"
    ):
        sound_copy(folder / "annotations" / "a.json", folder / "images", 3, tmp_path / "copy.json")


def test_no_such_file_or_folder(coco):
    from ppeffconv.integrations.ppdet.annotations import sound_copy

    with pytest.raises(FileNotFoundError, match=r"no annotation file .*other.json"):
        sound_copy(coco / "other.json", coco / "images", 3, coco / "copy.json")
    with pytest.raises(FileNotFoundError, match="no image folder"):
        sound_copy(coco / "boxes.json", coco / "pictures", 3, coco / "copy.json")
    (coco / "boxes.json").write_text("{")
    with pytest.raises(ValueError, match="not a JSON file"):
        sound_copy(coco / "boxes.json", coco / "images", 3, coco / "copy.json")


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp"])
def test_damage(tmp_path, kind):
    from ppeffconv.integrations.ppdet.annotations import damage

    path = tmp_path / f"a.{kind}"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 30, 3)).astype(np.uint8)).save(path)
    assert damage(path) == ""
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0\0\0")  # bytes behind the image harm nothing
    assert damage(path) == ""
    path.write_bytes(whole[:-100])
    assert damage(path)


def variants(folder):
    """Images of every kind in the place of the first ones."""
    rng = np.random.RandomState(1)
    Image.fromarray(rng.randint(0, 256, (64, 64)).astype(np.uint8)).save(folder / "0.png")  # grey
    Image.fromarray(rng.randint(0, 256, (64, 64, 4)).astype(np.uint8), "RGBA").save(folder / "1.png")
    Image.fromarray(rng.randint(0, 65536, (64, 64)).astype(np.uint16)).save(folder / "2.png")  # 16 bits
    Image.fromarray(rng.randint(0, 256, (9, 7, 3)).astype(np.uint8)).save(folder / "3.png")  # below every stride


def test_trains_on_what_is_left(tmp_path, load, caplog):
    """Grey, RGBA, 16-bit, tiny and damaged images, an image without boxes, and a gap in the categories."""
    from ppeffconv.integrations.ppdet import runner
    from ppeffconv.integrations.ppdet.callbacks import read

    folder = tmp_path / "mixed"
    content = write_coco(folder, number=6)
    variants(folder / "images")
    (folder / "images" / "5.png").write_bytes(b"\x89PNG")
    content["images"][3].update(width=7, height=9)
    boxes = [box for box in content["annotations"] if box["image_id"] not in (3, 4)]
    boxes.append({"id": 99, "image_id": 3, "category_id": 9, "bbox": [1, 1, 4, 5], "area": 20, "iscrowd": 0})
    (folder / "boxes.json").write_text(json.dumps({**content, "annotations": boxes}))
    data = [f"{name}.dataset_dir={folder}" for name in ("TrainDataset", "EvalDataset")]
    for empty in ("true", "false"):
        run = f"save_dir={tmp_path / empty}"
        settings = [*data, run, f"TrainDataset.allow_empty={empty}", "TrainReader.batch_size=1", "epoch=1"]
        rows = read(runner.train(load(*settings)) / "history.jsonl")
        assert rows[0]["loss"] > 0
        assert rows[1]["AP"] >= 0
    assert "1 images damaged" in caplog.text
