"""The digits, the building of data sets by name, and the checks against a configuration."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ppeffconv.data import ArrayDataset, build_dataset, check_num_classes, check_same_classes
from ppeffconv.data.digits import Digits


@pytest.fixture(scope="module")
def parts():
    return Digits(train=True), Digits(train=False)


def test_digits_are_split_once_and_for_all(parts):
    train, test = parts
    assert (len(train), len(test)) == (1437, 360)
    again = Digits(train=True)
    np.testing.assert_array_equal(again.images, train.images)
    both = np.concatenate([train.labels, test.labels])
    np.testing.assert_array_equal(np.bincount(both), np.bincount(load_digits().target))
    assert min(np.bincount(test.labels)) > 20


def test_digits_are_the_scans(parts):
    """At the scans' own size nothing is interpolated: every image is one of scikit-learn's, and each occurs."""
    data = load_digits()
    originals = {(image * 255 / 16).round().astype(np.uint8).tobytes(): None for image in data.images}
    seen = [image.tobytes() for train in (True, False) for image in Digits(train=train, size=8).images]
    assert len(seen) == 1797
    assert set(seen) == set(originals)


def test_digits_format(parts):
    image, label = parts[0][3]
    assert image.shape == (32, 32, 1)
    assert image.dtype == np.uint8
    assert type(label) is int
    assert (parts[0].num_classes, parts[0].image_mode) == (10, "L")
    assert parts[0].class_names[7] == "7"
    assert image.max() > 200


def test_enlarging_keeps_the_mean(parts):
    small = Digits(train=True, size=8)
    np.testing.assert_allclose(small.images.mean((1, 2, 3)), parts[0].images.mean((1, 2, 3)), atol=0.5)


@pytest.mark.parametrize("size", [0, -3, "32", 3.5, True])
def test_bad_size(size):
    with pytest.raises(ValueError, match="size must be a whole number > 0"):
        build_dataset({"name": "Digits", "size": size}, train=True)


def test_build_dataset():
    assert len(build_dataset({"name": "Digits", "size": 8}, train=False)) == 360
    assert len(build_dataset({"name": "Digits", "size": 8, "train": True}, train=False)) == 1437


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"name": "Digit"}, "unknown dataset 'Digit'. Did you mean 'Digits'?"),
        ({"name": "Digits", "sizes": 3}, "dataset Digits has no argument 'sizes'. Did you mean 'size'?"),
        ({"name": "ImageNet"}, "dataset ImageNet: missing a required argument: 'root'"),
        ({"name": "ImageNet", "root": 5}, "dataset ImageNet: "),
        ({"name": "FashionMNIST", "root": [1]}, "dataset FashionMNIST: "),
    ],
)
def test_build_dataset_errors(cfg, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        build_dataset(cfg, train=True)


def named(*names):
    return ArrayDataset(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, int), names)


def test_image_mode_follows_the_channels():
    assert named("a").image_mode == "RGB"


def test_check_num_classes():
    data = named(*"abcdefg")
    check_num_classes({"Arch": {"num_classes": 7}}, data)
    with pytest.raises(
        ValueError, match=r"Arch\.num_classes is 1000, but the data has 7 classes \(a, b, c, d, e, \.\.\.\)"
    ):
        check_num_classes({"Arch": {"num_classes": 1000}}, data)


def test_check_same_classes():
    check_same_classes(named("cat", "dog"), named("cat", "dog"))
    with pytest.raises(ValueError, match="has 2 classes and the evaluation data 1, and only the training data has dog"):
        check_same_classes(named("cat", "dog"), named("cat"))
    with pytest.raises(ValueError, match="their order differs"):
        check_same_classes(named("cat", "dog"), named("dog", "cat"))
