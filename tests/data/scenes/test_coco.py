"""The COCO file says the same as the label images, and pycocotools reads it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data.scenes.coco import run_lengths

from .conftest import SETTINGS


def decode(segmentation):
    """A mask from COCO's run lengths, one pixel at a time."""
    height, width = segmentation["size"]
    mask, position = np.zeros((height, width), bool), 0
    for run, length in enumerate(segmentation["counts"]):
        for place in range(position, position + length):
            mask[place % height, place // height] = run % 2 == 1
        position += length
    assert position == height * width
    return mask


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 5)) < 0.4
    counts = run_lengths(mask)
    assert min(counts[1:]) > 0  # only the first run, of zeros, may be empty
    np.testing.assert_array_equal(decode({"size": [7, 5], "counts": counts}), mask)


@pytest.mark.parametrize("value", [True, False])
def test_run_lengths_of_an_even_mask(value):
    assert run_lengths(np.full((3, 4), value)) == ([0, 12] if value else [12])


@pytest.mark.parametrize("split", ["train", "val"])
def test_masks_boxes_and_labels_agree(scenes, split):
    coco = json.loads((scenes / "annotations" / f"instances_{split}.json").read_text())
    assert [image["id"] for image in coco["images"]] == list(range(1, 1 + SETTINGS.count(split)))
    assert [row["id"] for row in coco["annotations"]] == list(range(1, 1 + len(coco["annotations"])))
    assert {row["id"]: row["name"] for row in coco["categories"]}[10] == "ankle boot"
    for image in coco["images"]:
        assert (image["height"], image["width"]) == (61, 83)
        assert Image.open(scenes / "images" / split / image["file_name"]).size == (83, 61)
        labels = np.zeros((61, 83), np.uint8)
        for row in (row for row in coco["annotations"] if row["image_id"] == image["id"]):
            mask = decode(row["segmentation"])
            assert not labels[mask].any()  # visible parts do not overlap
            labels[mask] = row["category_id"]
            ys, xs = np.nonzero(mask)
            assert row["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert (row["area"], row["iscrowd"]) == (len(ys), 0)
        stored = Image.open((scenes / "labels" / split / image["file_name"]).with_suffix(".png"))
        np.testing.assert_array_equal(np.asarray(stored), labels)


def test_pycocotools_gives_the_truth_an_ap_of_one(scenes):
    coco_module, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth = coco_module.COCO(str(scenes / "annotations" / "instances_val.json"))
    rows = copy.deepcopy(truth.dataset["annotations"])
    found = [{**row, "score": 1.0, "segmentation": truth.annToRLE(row)} for row in rows]
    for kind in ("bbox", "segm"):
        result = evaluation.COCOeval(truth, truth.loadRes(copy.deepcopy(found)), kind)
        result.evaluate()
        result.accumulate()
        result.summarize()
        assert result.stats[0] == pytest.approx(1.0)
