"""What each kind of file becomes, and what is said of those that cannot be read."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data import UnreadableImageError, read_image
from ppeffconv.data.image_files import images_below, read_values

GREY = (np.arange(12, dtype=np.uint8) * 20).reshape(3, 4)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=2)
ORIENTATION = 0x112


def exif(orientation: int) -> Image.Exif:
    note = Image.Exif()
    note[ORIENTATION] = orientation
    return note


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("8.png", GREY),
        ("16.png", GREY.astype(np.uint16) * 256 + 77),
        ("16.tif", GREY.astype(np.uint16) * 256 + 77),
        ("16.pgm", GREY.astype(np.int32) * 256 + 77),
        ("32.tif", GREY.astype(np.int32) * 256 + 77),
        ("unit.tif", GREY.astype(np.float32) / 255),
        ("float.tif", GREY.astype(np.float32)),
    ],
)
def test_depths(tmp_path, name, values):
    Image.fromarray(values).save(tmp_path / name)
    assert np.array_equal(read_image(tmp_path / name, "L"), GREY)
    assert np.array_equal(read_image(tmp_path / name), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (GREY.astype(np.float32) * 300, "floats go from 0 to 66000"),
        (GREY.astype(np.float32) - 1, "floats go from -1"),
        (np.full((2, 2), np.nan, np.float32), "floats go from nan"),
        (GREY.astype(np.int32) * 70000, "whole numbers go from 0 to 15400000"),
        (-GREY.astype(np.int32), "whole numbers go from -220"),
    ],
)
def test_values_without_a_meaning(tmp_path, values, problem):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match=rf"a\.tif: its {problem}"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_modes(tmp_path, mode, suffix):
    if (mode, suffix) == ("CMYK", "png"):
        suffix = "jpg"
    image = Image.fromarray(COLOUR).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(GREY))
    image.save(tmp_path / f"a.{suffix}", quality=100)
    with Image.open(tmp_path / f"a.{suffix}") as file:
        assert file.mode == mode
    colours = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(np.asarray(read_image(tmp_path / f"a.{suffix}")) - colours).max() <= (3 if suffix == "jpg" else 0)
    assert read_image(tmp_path / f"a.{suffix}", "L").mode == "L"


@pytest.mark.parametrize("transparency", [3, bytes(range(0, 240, 20))])
def test_a_transparent_palette_keeps_its_colours(tmp_path, transparency):
    Image.fromarray(GREY).convert("P").save(tmp_path / "a.png", transparency=transparency)
    assert np.array_equal(read_image(tmp_path / "a.png", "L"), GREY)


def test_colours_of_16_bits(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "a.png"), COLOUR[..., ::-1].astype(np.uint16) * 256 + 77)
    assert np.array_equal(read_image(tmp_path / "a.png"), COLOUR)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_orientation(tmp_path, orientation, name):
    Image.fromarray(COLOUR).save(tmp_path / name, exif=exif(orientation), lossless=True)
    flipped = {2: COLOUR[:, ::-1], 3: COLOUR[::-1, ::-1], 4: COLOUR[::-1], 5: COLOUR.transpose(1, 0, 2)}
    flipped |= {6: np.rot90(COLOUR, -1), 7: COLOUR[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(COLOUR)}
    assert np.array_equal(read_image(tmp_path / name), flipped.get(orientation, COLOUR))


def test_a_size_that_was_noted_without_the_orientation(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif(6))
    assert read_image(tmp_path / "a.png", size=(3, 4)).size == (3, 4)
    assert np.array_equal(read_image(tmp_path / "a.png", size=(4, 3)), COLOUR)
    assert read_image(tmp_path / "a.png", size=(9, 9)).size == (3, 4)


def test_a_damaged_note_of_the_orientation_is_no_damage(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", exif=b"Exif\0\0garbage!")
    assert read_image(tmp_path / "a.jpg").size == (4, 3)


def test_the_first_frame(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for name in ("a.gif", "a.tif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert np.array_equal(read_image(tmp_path / name, "L"), GREY)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 40, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:10], b"", b"no image"):
        path.write_bytes(content)
        with pytest.raises(UnreadableImageError, match=rf"cannot read image .*a\.{suffix}: \w"):
            read_image(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"none.png: there is no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(UnreadableImageError, match="it is a folder"):
        read_image(tmp_path)


def test_suffixes_in_any_case_and_what_systems_leave_behind(tmp_path):
    good = [
        "a.JPG",
        "b.Jpeg",
        "c.png",
        "d.bmp",
        "e.webp",
        "f.tif",
        "g.TIFF",
        "h.gif",
        "i.ppm",
        "j.jfif",
        "k.avif",
        "l.pnm",
    ]
    bad = ["._a.jpg", ".b.png", "Thumbs.db", ".DS_Store", "notes.txt", "png", "x.png.txt"]
    for name in [*good, *bad]:
        (tmp_path / name).touch()
    for folder in ("__MACOSX", ".cache", "folder.png"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "._x.png").touch()
    (tmp_path / "__MACOSX" / "x.png").touch()
    assert [os.path.basename(path) for path in images_below(tmp_path)] == good


def test_values_are_read_as_they_are(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 300).save(tmp_path / "a.png")
    assert np.array_equal(read_values(tmp_path / "a.png"), GREY.astype(np.uint16) * 300)
    (tmp_path / "a.png").write_bytes(b"?")
    with pytest.raises(UnreadableImageError, match=r"cannot read .*a\.png"):
        read_values(tmp_path / "a.png")
