"""Transforms by name, and the arrays that they end in."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data import TRANSFORMS, build_transforms

GREY = np.random.RandomState(0).randint(0, 256, (20, 24)).astype(np.uint8)
COLOUR = np.random.RandomState(1).randint(0, 256, (20, 24, 3)).astype(np.uint8)

ARGUMENTS = {
    "BrightnessTransform": {"value": 0.4},
    "CenterCrop": {"size": 12},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "ContrastTransform": {"value": 0.4},
    "HueTransform": {"value": 0.1},
    "Normalize": {"mean": [0.5], "std": [0.25]},
    "Pad": {"padding": 2},
    "RandomAffine": {"degrees": 10},
    "RandomCrop": {"size": [12, 16], "padding": 4},
    "RandomErasing": {"prob": 1.0, "value": "random"},
    "RandomResizedCrop": {"size": 16, "scale": [0.08, 1.0], "interpolation": "bicubic"},
    "RandomRotation": {"degrees": 10},
    "Resize": {"size": [10, 11], "interpolation": "bicubic"},
    "SaturationTransform": {"value": 0.4},
}


@pytest.mark.parametrize("name", [name for name in TRANSFORMS.list() if not name.endswith("Pair")])
@pytest.mark.parametrize("image", [GREY[..., None], COLOUR], ids=["grey", "colour"])
def test_every_transform_ends_in_an_array(name, image):
    spec = {name: ARGUMENTS[name]} if name in ARGUMENTS else name
    last = {"ToArray": ["ToArray"], "Normalize": ["ToArray", spec]}.get(name, [spec, "ToArray"])
    random.seed(0)
    np.random.seed(0)
    array = build_transforms(last)(image)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert array.ndim == 3
    assert array.shape[0] == (1 if name == "Grayscale" else image.shape[-1])
    assert array.flags["C_CONTIGUOUS"]


def test_to_array_and_normalize_by_hand():
    array = build_transforms(["ToArray"])(COLOUR)
    np.testing.assert_allclose(array, COLOUR.transpose(2, 0, 1) / 255, rtol=1e-6)
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.1])
    array = build_transforms(["ToArray", {"Normalize": {"mean": mean.tolist(), "std": std.tolist()}}])(COLOUR)
    np.testing.assert_allclose(array, ((COLOUR / 255 - mean) / std).transpose(2, 0, 1), rtol=1e-5, atol=1e-6)


def test_arrays_and_pil_images_are_alike():
    pipeline = build_transforms(["ToArray"])
    expected = GREY[None] / np.float32(255)
    for image in (GREY, GREY[..., None], Image.fromarray(GREY)):
        np.testing.assert_array_equal(pipeline(image), expected)


def test_center_crop_and_flip_are_paddles():
    array = build_transforms([{"CenterCrop": {"size": 12}}, {"RandomHorizontalFlip": {"prob": 1.0}}, "ToArray"])(GREY)
    np.testing.assert_array_equal(array[0] * 255, GREY[4:16, 6:18][:, ::-1])


def test_erasing_a_grey_image_replaces_one_rectangle():
    np.random.seed(0)
    erased = build_transforms([{"RandomErasing": {"prob": 1.0, "value": 7}}, "ToArray"])(GREY)[0] * 255
    changed = np.argwhere(np.rint(erased) != GREY)
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    box = np.rint(erased[top : bottom + 1, left : right + 1])
    assert np.all(box == 7)
    assert 0.01 < box.size / GREY.size < 0.4


def test_a_mapping_without_arguments():
    assert build_transforms([{"RandomHorizontalFlip": None}, "ToArray"])(GREY).shape == (1, 20, 24)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["RandomCrops", "ToArray"], r"unknown transform 'RandomCrops'\. Did you mean 'RandomCrop'\?"),
        (
            [{"RandomCrop": {"sise": 3}}, "ToArray"],
            r"transform RandomCrop has no argument 'sise'\. Did you mean 'size'",
        ),
        (["RandomCrop", "ToArray"], "transform RandomCrop: missing a required argument: 'size'"),
        ([{"RandomCrop": 32}, "ToArray"], "a transform is written .*write `- RandomCrop: {size: 32}`"),
        ([{"Resize": [32, 24]}, "ToArray"], r"write `- Resize: {size: \[32, 24\]}`"),
        ([{"RandomCrop": {"size": 3}, "Pad": {"padding": 3}}, "ToArray"], "a transform is written"),
        ([3, "ToArray"], "a transform is written"),
        ([{"RandomErasing": {"prob": 3.0}}, "ToArray"], r"transform RandomErasing: .*range \[0, 1\]"),
        ([{"Normalize": {"mean": 0.5, "std": 0.0}}], "transform Normalize: std must be > 0"),
        ([{"Normalize": {"mean": "x", "std": 1.0}}], "transform Normalize: .*"),
        ([], "the transforms must end in ToArray.*got none"),
        ([{"CenterCrop": {"size": 3}}], "ToArray and Normalize, or in PointSampledPair; got CenterCrop"),
        (["ToArray", {"CenterCrop": {"size": 3}}], "must end in ToArray"),
    ],
)
def test_build_errors(specs, message):
    with pytest.raises(ValueError, match=message):
        build_transforms(specs)


def test_errors_at_run_time_name_the_transform_and_the_size():
    with pytest.raises(ValueError, match="transform RandomCrop failed on an image of 24x20"):
        build_transforms([{"RandomCrop": {"size": 32}}, "ToArray"])(GREY)
    with pytest.raises(ValueError, match="the image has 1 channels, but mean or std has 3 values"):
        build_transforms(["ToArray", {"Normalize": {"mean": [0, 0, 0], "std": 1}}])(GREY)
