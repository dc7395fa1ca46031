"""PaddleDetection reads images as the whole project does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

COLOUR = (np.arange(36, dtype=np.uint8) * 7).reshape(3, 4, 3)


def decode(path, **noted):
    from ppdet.data.transform.operators import Decode

    return Decode()({"im_file": str(path), **noted})


def save(path, image, orientation=1):
    exif = Image.Exif()
    exif[0x112] = orientation
    image.save(path, exif=exif)
    return path


def test_images_of_all_kinds(tmp_path):
    grey = COLOUR[..., 0]
    for name, image in {
        "a.png": Image.fromarray(COLOUR),
        "a.webp": Image.fromarray(grey),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 256 + 9),
        "float.tif": Image.fromarray(grey.astype(np.float32) / 255),
        "palette.gif": Image.fromarray(grey),
    }.items():
        image.save(tmp_path / name, lossless=True)
        expected = COLOUR if name == "a.png" else np.repeat(grey[..., None], 3, axis=2)
        sample = decode(tmp_path / name, h=3, w=4)
        assert np.array_equal(sample["image"], expected)
        assert (sample["h"], sample["w"], sample["im_shape"].tolist()) == (3, 4, [3.0, 4.0])
        assert "im_file" not in sample


def test_orientation_follows_the_size_that_the_boxes_are_in(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(COLOUR), orientation=6)
    turned = np.rot90(COLOUR, -1)
    assert np.array_equal(decode(path)["image"], turned)
    assert np.array_equal(decode(path, h=4, w=3)["image"], turned)
    assert np.array_equal(decode(path, h=3, w=4)["image"], COLOUR)
    assert decode(path, h=9, w=9)["h"] == 4


def test_a_truncated_image_is_named(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(COLOUR))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cannot read image .*a\.png"):
        decode(path)
