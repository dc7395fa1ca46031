"""Images in folders and list files, good and broken."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data import build_dataset
from ppeffconv.data.image_folder import ImageFolder
from ppeffconv.utils.logger import get_logger

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


@pytest.fixture
def folder(tmp_path):
    """Three classes with two images each, one of them in a folder of its own."""
    for name, colour in COLOURS.items():
        for place in (tmp_path / name, tmp_path / name / "more"):
            place.mkdir()
            Image.new("RGB", (6, 4), colour).save(place / "a b.png")
    (tmp_path / "red" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    return tmp_path


@pytest.fixture
def warnings():
    records = []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    handler = Handler()
    get_logger().addHandler(handler)
    yield records
    get_logger().removeHandler(handler)


def spoil(path):
    path.write_bytes(path.read_bytes()[:40])


def test_class_folders(folder):
    data = ImageFolder(folder)
    assert data.class_names == ["blue", "green", "red"]
    assert (data.num_classes, data.image_mode, len(data)) == (3, "RGB", 6)
    for index in range(6):
        image, label = data[index]
        assert image.size == (6, 4)
        assert image.getpixel((0, 0)) == COLOURS[data.class_names[label]]
    assert [data[index][1] for index in range(6)] == [0, 0, 1, 1, 2, 2]


def test_class_names_choose_and_order_the_folders(folder, tmp_path):
    names = folder / "names.txt"
    names.write_text("red\nblue\n")
    for class_names in (["red", "blue"], str(names)):
        data = ImageFolder(folder, class_names=class_names)
        assert data.class_names == ["red", "blue"]
        assert data[0][0].getpixel((0, 0)) == COLOURS["red"]
        assert len(data) == 4


def test_grey(folder):
    data = ImageFolder(folder, image_mode="L")
    assert data.image_mode == "L"
    assert data[0][0].mode == "L"


def test_list_file(folder):
    (folder / "train.txt").write_text("red/a b.png 1\n\nblue/more/a b.png\t0\n")
    data = build_dataset({"name": "ImageNet", "root": str(folder), "list_file": str(folder / "train.txt")}, train=False)
    assert data.num_classes == 2
    assert data.class_names == ["0", "1"]
    assert [data[i][1] for i in range(2)] == [1, 0]
    assert data[0][0].getpixel((0, 0)) == COLOURS["red"]


def test_training_takes_the_next_image_for_a_broken_one_and_says_so(folder, warnings):
    broken = folder / "green" / "more" / "a b.png"
    data = ImageFolder(folder, train=True)
    index = data.files.index("green/more/a b.png")
    spoil(broken)
    for _ in range(2):
        image, label = data[index]
    following = (index + 1) % len(data)
    assert label == data[following][1]
    assert image.getpixel((0, 0)) == data[following][0].getpixel((0, 0))
    assert data.broken == [str(broken)]
    assert len(warnings) == 1
    assert str(broken) in warnings[0]


def test_the_last_image_is_followed_by_the_first(folder):
    data = ImageFolder(folder, train=True)
    spoil(folder / data.files[-1])
    assert data[len(data) - 1][1] == 0


def test_evaluation_keeps_a_broken_image_in_the_count(folder, warnings):
    data = ImageFolder(folder, train=False)
    spoil(folder / data.files[3])
    image, label = data[3]
    assert label == 1
    assert not np.asarray(image).any()
    assert len(data) == 6
    assert data.broken == [str(folder / data.files[3])]
    assert "evaluated as a black image" in warnings[0]


def test_a_missing_file_counts_as_broken(folder):
    data = ImageFolder(folder, train=True)
    (folder / data.files[0]).unlink()
    data[0]
    assert data.broken == [str(folder / data.files[0])]


def test_all_broken(folder):
    data = ImageFolder(folder, train=True)
    for name in data.files:
        spoil(folder / name)
    with pytest.raises(ValueError, match="none of the 6 images"):
        data[2]
    assert len(data.broken) == 6


def test_verify_finds_every_broken_image(folder):
    data = ImageFolder(folder)
    assert data.verify() == []
    for index in (1, 4):
        spoil(folder / data.files[index])
    assert data.verify() == [str(folder / data.files[index]) for index in (1, 4)]


@pytest.mark.parametrize("content", ["red/x.png", "red/x.png -1", "red/x.png one", " 3"])
def test_list_file_lines_that_make_no_sense(folder, content):
    (folder / "list.txt").write_text("red/a.png 0\n\n" + content)
    with pytest.raises(ValueError, match=r"list\.txt, line 3: expected 'path label'"):
        ImageFolder(folder, list_file=folder / "list.txt")


def test_a_label_beyond_the_class_names(folder):
    (folder / "list.txt").write_text("red/a.png 2\n")
    with pytest.raises(ValueError, match="line 1: label 2, but there are 2 class names"):
        ImageFolder(folder, list_file=folder / "list.txt", class_names=["a", "b"])


def test_nothing_to_find(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image folder .*absent"):
        ImageFolder(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no file .*absent\.txt"):
        ImageFolder(folder, list_file=folder / "absent.txt")
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(FileNotFoundError, match=r"no images in the list file .*empty\.txt"):
        ImageFolder(folder, list_file=folder / "empty.txt")
    (folder / "white").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in the class folder .*white"):
        ImageFolder(folder)


def test_a_folder_without_class_folders(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"expected .*/<class>/<image>"):
        ImageFolder(tmp_path)


def test_unknown_image_mode(folder):
    with pytest.raises(ValueError, match="image_mode must be RGB or L, got 'CMYK'"):
        ImageFolder(folder, image_mode="CMYK")
