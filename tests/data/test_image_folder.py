"""Images in folders and list files, good and broken."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from ppeffconv.data import TransformedDataset, UnreadableImageError, build_dataset, build_transforms, check_num_classes
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


def test_evaluation_leaves_a_broken_image_out_and_says_so(folder, warnings):
    data = ImageFolder(folder, train=False)
    spoil(folder / data.files[3])
    with pytest.raises(UnreadableImageError, match=f"cannot read image {folder / data.files[3]}"):
        data[3]
    assert len(data) == 6
    assert data.broken == [str(folder / data.files[3])]
    assert "left out of the evaluation; 1 of 6 broken so far" in warnings[0]


def test_a_missing_file_counts_as_broken(folder):
    data = ImageFolder(folder, train=True)
    (folder / data.files[0]).unlink()
    data[0]
    assert data.broken == [str(folder / data.files[0])]


def test_all_broken(folder):
    data = ImageFolder(folder, train=True)
    for name in data.files:
        spoil(folder / name)
    with pytest.raises(ValueError, match="none of the 6 training samples can be read"):
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


def test_what_systems_leave_behind_is_no_image_and_no_class(folder):
    for name in ("._a b.png", ".hidden.jpg", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (folder / "red" / name).write_bytes(b"?")
    for place in ("__MACOSX", "$RECYCLE.BIN", "red/@eaDir", "red/.ipynb_checkpoints"):
        (folder / place).mkdir()
        Image.new("RGB", (1, 1)).save(folder / place / "x.png")
    data = ImageFolder(folder)
    assert data.class_names == ["blue", "green", "red"]
    assert len(data) == 6
    assert data.verify() == []


def test_folders_that_link_to_each_other(folder):
    (folder / "red" / "more" / "up").symlink_to(folder / "red", target_is_directory=True)
    assert len(ImageFolder(folder)) == 6


@pytest.mark.parametrize("good", [0, 1])
def test_missing_files_of_a_list_are_said_before_anything_is_read(folder, warnings, good):
    lines = [f"red/{i}.png 0\n" for i in range(10)] + ["red/a b.png 0\n"] * good
    (folder / "list.txt").write_text("".join(lines))
    message = rf"10 of the {10 + good} files that .*list.txt names are missing, such as .*0.png: paths are relative to"
    with pytest.raises(FileNotFoundError, match=message):
        ImageFolder(folder, train=False, list_file=folder / "list.txt")
    if good:
        assert len(ImageFolder(folder, list_file=folder / "list.txt")) == 11
        assert "10 of the 11 files" in warnings[0]
    else:
        with pytest.raises(FileNotFoundError, match=message):
            ImageFolder(folder, list_file=folder / "list.txt")


@pytest.mark.parametrize(
    ("labels", "num_classes", "advice"),
    [
        ("123", 3, "labels go up to 3, and none is below 1. .*subtract 1 from each.*set Arch.num_classes=4"),
        ("345", 3, "none is below 3. .*subtract 3 from each"),
        ("013", 3, r"the data has 4 classes, of which 1 have no image \(the first is 2\).*set Arch.num_classes=4"),
        ("012", 4, "the data has 3 classes .*set Arch.num_classes=3"),
    ],
)
def test_advice_about_labels_with_gaps(folder, warnings, labels, num_classes, advice):
    (folder / "list.txt").write_text("".join(f"red/a b.png {label}\n" for label in labels))
    data = ImageFolder(folder, list_file=folder / "list.txt")
    for form in (data, TransformedDataset(data, build_transforms(["ToArray"]))):  # the latter is what a trainer has
        with pytest.raises(ValueError, match=f"Arch.num_classes is {num_classes}, but .*{advice}"):
            check_num_classes({"Arch": {"num_classes": num_classes}}, form)
    assert (labels == "012") == (not warnings)
    check_num_classes({"Arch": {"num_classes": data.num_classes}}, data)


def test_16_bits_in_grey_and_colour(folder):
    Image.fromarray(np.full((4, 6), 257 * 99, np.uint16)).save(folder / "blue" / "a b.png")
    for mode in ("L", "RGB"):
        assert (np.asarray(ImageFolder(folder, image_mode=mode)[0][0]) == 99).all()
