"""Prediction on image files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data import build_transforms
from ppeffconv.inference.images import find_images, predict_images

NAMES = ["low", "middle", "high"]


def forward(images: np.ndarray) -> np.ndarray:
    """Logits that grow with the distance of the mean from 0, 0.5 and 1."""
    return -10 * np.abs(images.mean(axis=(1, 2, 3))[:, None] - np.array([0.0, 0.5, 1.0]))


def predict(files, **changes):
    arguments = {"image_mode": "L", "class_names": NAMES, "input_shape": [1, 4, 4], "topk": 2} | changes
    return predict_images(forward, files, build_transforms(["ToArray"]), **arguments)


def test_best_classes_with_their_probabilities(tmp_path):
    path = tmp_path / "grey.png"
    Image.new("L", (4, 4), 102).save(path)  # 0.4
    guesses = predict([path]).guesses[str(path)]
    weights = np.exp([-4.0, -1.0, -6.0])
    assert [(guess.class_id, guess.class_name) for guess in guesses] == [(1, "middle"), (0, "low")]
    np.testing.assert_allclose([guess.score for guess in guesses], weights[[1, 0]] / weights.sum(), rtol=1e-5)
    assert len(predict([path], topk=9).guesses[str(path)]) == 3


def test_colour_image_is_converted_as_the_data_was(tmp_path):
    path = tmp_path / "green.png"
    Image.new("RGB", (4, 4), (0, 255, 0)).save(path)
    grey = np.asarray(Image.open(path).convert("L")).mean() / 255
    seen = []
    predict_images(lambda x: seen.append(x) or forward(x), [path], build_transforms(["ToArray"]), "L", NAMES, (1, 4, 4))
    assert seen[0].shape == (1, 1, 4, 4)
    assert seen[0].mean() == pytest.approx(grey)


def test_broken_images_are_counted_and_the_others_classified(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    Image.new("L", (5, 4)).save(tmp_path / "c.png")
    result = predict(find_images(tmp_path))
    assert list(result.guesses) == [str(tmp_path / "a.png")]
    assert "cannot identify image file" in result.broken[str(tmp_path / "b.png")]
    assert "into 1x4x5, but the network takes 1x4x4" in result.broken[str(tmp_path / "c.png")]


def test_class_names_must_fit(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="the network has 3 classes, but there are 2 class names"):
        predict(find_images(tmp_path), class_names=["a", "b"])


def test_find_images(tmp_path):
    for name in ("b/x.JPG", "b/c/y.png", "a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.png", "b/c/y.png", "b/x.JPG"]
    assert find_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(FileNotFoundError, match="no image or folder"):
        find_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images in"):
        find_images(tmp_path / "empty")
