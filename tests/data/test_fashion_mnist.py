"""Fashion-MNIST from idx files made here, and from Debian's package where it is installed."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from ppeffconv.data import build_dataset
from ppeffconv.data import fashion_mnist as module

IMAGES = np.random.RandomState(0).randint(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.array([9, 0, 3, 3, 1], np.uint8)


def idx(array, magic=None):
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def write(folder, part="train", images=IMAGES, labels=LABELS, compress=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Neither the machine's own copy nor the network takes part."""

    def fail(url, md5, name):
        raise RuntimeError(f"Cannot download {url}")

    monkeypatch.setenv("PPEFFCONV_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(module, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(module, "paddle_download", fail)


@pytest.mark.parametrize("place", ["", "fashion-mnist"])
@pytest.mark.parametrize("compress", [True, False])
def test_a_folder_of_ones_own(tmp_path, place, compress):
    write(tmp_path / "mine" / place, compress=compress)
    data = build_dataset({"name": "FashionMNIST", "root": str(tmp_path / "mine")}, train=True)
    assert len(data) == 5
    assert (data.num_classes, data.image_mode, data.class_names[9]) == (10, "L", "ankle boot")
    for index in range(5):
        image, label = data[index]
        np.testing.assert_array_equal(image, IMAGES[index][..., None])
        assert label == LABELS[index]


def test_train_and_test_parts(tmp_path):
    write(tmp_path / "data")
    write(tmp_path / "data", "t10k", IMAGES[:2], LABELS[:2])
    assert len(module.FashionMNIST(train=True)) == 5
    assert len(module.FashionMNIST(train=False)) == 2


def test_the_order_of_the_places(tmp_path):
    places = [tmp_path / "mine", tmp_path / "data" / "fashion-mnist", tmp_path / "system"]
    for count, place in enumerate(places, start=1):
        write(place, images=IMAGES[:count], labels=LABELS[:count])
    assert len(module.FashionMNIST(root=tmp_path / "mine")) == 1
    assert len(module.FashionMNIST()) == 2
    (tmp_path / "data" / "fashion-mnist").rename(tmp_path / "gone")
    assert len(module.FashionMNIST()) == 3


def test_debians_package_unpacked_by_hand(tmp_path, monkeypatch):
    monkeypatch.undo()
    write(tmp_path / "usr" / "share" / "datasets" / "fashion-mnist")
    assert len(module.FashionMNIST(root=tmp_path)) == 5


def test_downloads_as_the_last_resort(tmp_path, monkeypatch):
    write(tmp_path / "cache")
    asked = []

    def fetch(url, md5, name):
        asked.append((url, name))
        return tmp_path / "cache" / url.rpartition("/")[2]

    monkeypatch.setattr(module, "paddle_download", fetch)
    assert len(module.FashionMNIST()) == 5
    assert [name for _, name in asked] == ["fashion-mnist"] * 2


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        module.FashionMNIST(root=tmp_path / "absent")
    for part in ("absent", "train-images-idx3-ubyte.gz", "apt-get install dataset-fashion-mnist", "dpkg -x"):
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match="the download failed: Cannot download"):
        module.FashionMNIST()


def test_one_file_is_missing(tmp_path):
    write(tmp_path / "data")
    (tmp_path / "data" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError):
        module.FashionMNIST()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too few"),
        (idx(IMAGES)[:10], "too few"),
        (idx(IMAGES)[:-1], "should hold 3920 bytes after its header, but has 3919"),
        (idx(IMAGES) + b"x", "but has 3921"),
        (idx(IMAGES, 0x0801), "is not an idx file with 3 axes: it starts with 0x801"),
    ],
)
def test_damaged_content(tmp_path, content, message):
    write(tmp_path / "data")
    path = tmp_path / "data" / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=message) as error:
        module.FashionMNIST()
    assert str(path) in str(error.value)
    assert "apt-get" in str(error.value)


@pytest.mark.parametrize("spoil", [lambda c: c[: len(c) // 2], lambda c: b"<html>" + c, lambda c: c[:99] + c[105:]])
def test_damaged_compression(tmp_path, spoil):
    write(tmp_path / "data")
    path = tmp_path / "data" / "train-images-idx3-ubyte.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="is damaged") as error:
        module.FashionMNIST()
    assert str(path) in str(error.value)


def test_counts_that_differ(tmp_path):
    write(tmp_path / "data", labels=LABELS[:4])
    with pytest.raises(ValueError, match=r"has 5 images, but .* has 4 labels"):
        module.FashionMNIST()


def test_labels_out_of_range(tmp_path):
    write(tmp_path / "data", labels=LABELS + 1)
    with pytest.raises(ValueError, match="must hold labels 0 to 9"):
        module.FashionMNIST()


@pytest.mark.parametrize(("train", "count"), [(True, 60000), (False, 10000)])
def test_the_real_data(monkeypatch, train, count):
    monkeypatch.undo()
    try:
        data = module.FashionMNIST(train=train, download=False)
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not on this machine")
    assert data.images.shape == (count, 28, 28, 1)
    assert np.bincount(data.labels).tolist() == [count // 10] * 10
