"""A scene's parts agree with each other, and every garment lies in front of what it covers."""

from __future__ import annotations

import numpy as np
import pytest

from ppeffconv.data.scenes import SceneSettings, compose, compose_scene
from ppeffconv.data.scenes.garments import cut_out, outline

from .garments import shapes

IMAGES, CLASSES = shapes(30, seed=1), np.arange(30) % 10


@pytest.mark.parametrize(("height", "width"), [(192, 192), (61, 83), (49, 200)])
def test_parts_agree(height, width):
    settings = SceneSettings(height=height, width=width, fewest=3, most=12)
    for index in range(4):
        scene = compose_scene(IMAGES, CLASSES, settings, [0, 0, index])
        assert scene.image.shape == (height, width, 3)
        assert scene.owner.shape == scene.depth.shape == (height, width)
        assert 3 <= len(scene.classes) <= 12
        assert scene.classes == [CLASSES[i] for i in scene.sources]
        pixels = np.bincount(scene.owner.ravel(), minlength=1 + len(scene.classes))
        assert len(pixels) == 1 + len(scene.classes)
        assert (pixels[1:] >= compose.LEAST_PIXELS).all()
        for number, category in enumerate(scene.classes, start=1):
            assert (scene.labels[scene.owner == number] == 1 + category).all()
        assert (scene.labels[scene.owner == 0] == 0).all()
        assert scene.depth.min() >= compose.NEAREST


def test_every_garment_is_a_step_in_front_of_what_it_covers(monkeypatch):
    steps = []
    lay = compose._Table.lay

    def recording(table, *arguments):
        depth = table.depth.copy()
        laid = lay(table, *arguments)
        if laid:
            covered = table.owner == len(table.areas)
            steps.append((depth - table.depth)[covered].min())
            np.testing.assert_array_equal(table.depth[~covered], depth[~covered])
        return laid

    monkeypatch.setattr(compose._Table, "lay", recording)
    for index in range(4):
        compose_scene(IMAGES, CLASSES, SceneSettings(fewest=8), [0, 0, index])
    assert len(steps) >= 32
    assert min(steps) >= compose.STEP[0] - 1e-2
    assert max(steps) <= compose.STEP[1] + 1e-2


def test_a_scene_is_a_function_of_its_key():
    settings = SceneSettings(height=64, width=64)
    first, again, other = (compose_scene(IMAGES, CLASSES, settings, [7, 0, i]) for i in (0, 0, 1))
    for name in ("image", "owner", "depth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(other, name)).any()


def test_an_outline_has_no_holes():
    garment = np.zeros((28, 28), np.uint8)
    garment[4:24, 6:22] = 200
    garment[10:14, 10:14] = 0  # a dark print
    expected = np.zeros((28, 28), bool)
    expected[4:24, 6:22] = True
    np.testing.assert_array_equal(outline(garment), expected)


@pytest.mark.parametrize(("side", "angle"), [(28, 0.0), (56, 0.0), (56, np.pi / 2), (90, 0.7)])
def test_size_and_place_of_a_cutout(side, angle):
    garment = np.zeros((28, 28), np.uint8)
    garment[4:24, 4:14] = 200  # 20 x 10, on the left
    opacity = cut_out(garment, side, angle, False, np.random.default_rng(0)).opacity
    zoom = side / 28
    area = opacity.sum() / zoom**2
    assert 190 < area < 210
    rows, columns = np.nonzero(opacity >= 0.5)
    middle = (len(opacity) - 1) / 2
    # its middle lies 5 pixels to the left of the image's, and turns with it
    np.testing.assert_allclose(columns.mean() - middle, -5 * zoom * np.cos(angle), atol=0.75)
    np.testing.assert_allclose(rows.mean() - middle, -5 * zoom * np.sin(angle), atol=0.75)


def test_mirrored():
    garment = np.zeros((28, 28), np.uint8)
    garment[4:24, 2:12] = 200
    plain, mirrored = (cut_out(garment, 56, 0.0, flip, np.random.default_rng(0)).opacity for flip in (False, True))
    np.testing.assert_allclose(plain[:, ::-1], mirrored, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": -1}, "train must be a whole number"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"train": 0, "val": 0}, "nothing to make"),
        ({"height": 32}, "at least 48 pixels.*32x192"),
        ({"fewest": 5, "most": 4}, "fewest <= most"),
        ({"fewest": 0}, "fewest <= most"),
    ],
)
def test_settings_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        SceneSettings(**wrong)
