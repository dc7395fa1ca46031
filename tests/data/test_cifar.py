"""CIFAR archives of the real format, made here with a few images."""

from __future__ import annotations

import io
import pickle
import tarfile

import numpy as np
import pytest
from paddle.vision import datasets as vision

from ppeffconv.data import build_dataset
from ppeffconv.data import cifar as module

PIXELS = np.random.RandomState(0).randint(0, 256, (7, 3, 32, 32)).astype(np.uint8)


def as_python2(content):
    """The names in it as the archives have them, who were written by Python 2: strings of bytes."""
    data = pickle.dumps(content, protocol=2)
    for key in content:
        data = data.replace(
            b"X" + len(key).to_bytes(4, "little") + key.encode(), b"U" + bytes([len(key)]) + key.encode()
        )
    return data


def add(archive, name, content):
    data = content if isinstance(content, bytes) else as_python2(content)
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def batch(part, key):
    rows = PIXELS[part].reshape(-1, 3072)
    return {"data": rows, key: list(range(len(PIXELS)))[part]}


@pytest.fixture
def cifar10(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "cifar-10-batches-py/data_batch_1", batch(slice(0, 2), "labels"))
        add(archive, "cifar-10-batches-py/data_batch_2", batch(slice(2, 5), "labels"))
        add(archive, "cifar-10-batches-py/test_batch", batch(slice(5, 7), "labels"))
    return path


@pytest.fixture
def cifar100(tmp_path):
    path = tmp_path / "cifar-100-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "cifar-100-python/train", batch(slice(0, 5), "fine_labels"))
        add(archive, "cifar-100-python/test", batch(slice(5, 7), "fine_labels"))
        add(archive, "cifar-100-python/meta", {"fine_label_names": [f"name{i}" for i in range(100)]})
    return path


def check(data, part):
    expected = PIXELS[part].transpose(0, 2, 3, 1)
    assert len(data) == len(expected)
    for index, image in enumerate(expected):
        got, label = data[index]
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, image)
        assert label == range(7)[part][index]


@pytest.mark.parametrize(("train", "part"), [(True, slice(0, 5)), (False, slice(5, 7))])
def test_cifar10(cifar10, train, part):
    for root in (cifar10, cifar10.parent):
        data = build_dataset({"name": "Cifar10", "root": str(root)}, train)
        check(data, part)
        assert (data.num_classes, data.image_mode) == (10, "RGB")
        assert data.class_names[3] == "cat"


@pytest.mark.parametrize(("train", "part"), [(True, slice(0, 5)), (False, slice(5, 7))])
def test_cifar100(cifar100, train, part, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_DATA", str(cifar100.parent))
    data = build_dataset({"name": "Cifar100"}, train)
    check(data, part)
    assert data.num_classes == 100
    assert data.class_names[:2] == ["name0", "name1"]


@pytest.mark.parametrize(("train", "mode"), [(True, "train"), (False, "test")])
def test_paddle_reads_the_same(cifar10, cifar100, train, mode):
    """Its reader trusts the archive."""
    for name, archive in (("Cifar10", cifar10), ("Cifar100", cifar100)):
        theirs = getattr(vision, name)(data_file=str(archive), mode=mode)
        ours = build_dataset({"name": name, "root": str(archive)}, train)
        assert len(ours) == len(theirs)
        for (image, label), (expected, expected_label) in zip(ours, theirs):
            np.testing.assert_array_equal(image, np.asarray(expected))
            assert label == expected_label


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_no_code_of_an_archive_is_run(tmp_path, name):
    path, trap = tmp_path / "cifar-100-python.tar.gz", tmp_path / "trap"
    with tarfile.open(path, "w:gz") as archive:
        contents = {part: batch(slice(0, 5), "fine_labels") for part in ("train", "test")}
        contents["meta"] = {"fine_label_names": [f"name{i}" for i in range(100)]}
        contents[name] = b"cos\nmkdir\n(V" + str(trap).encode() + b"\ntR."
        for part, content in contents.items():
            add(archive, f"cifar-100-python/{part}", content)
    pickle.loads(contents[name])  # it would work
    trap.rmdir()
    with pytest.raises(ValueError, match=r"cifar-100-python\.tar\.gz is damaged.*asks for os\.mkdir"):
        module.Cifar100(path, train=name != "test")
    assert not trap.exists()


@pytest.mark.parametrize("change", [{"labels": [1]}, {"data": PIXELS.reshape(-1, 3072).astype("float32")}])
def test_what_does_not_fit(tmp_path, change):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "cifar-10-batches-py/data_batch_1", batch(slice(0, 7), "labels") | change)
    with pytest.raises(ValueError, match="is damaged.*(7 images and 1 labels|float32)"):
        module.Cifar10(path)


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_truncated_archive(cifar10, share):
    content = cifar10.read_bytes()
    cifar10.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz is damaged.*get it again from https"):
        module.Cifar10(cifar10)


def test_another_archive(cifar100):
    with pytest.raises(ValueError, match="is damaged or of another kind"):
        module.Cifar10(cifar100)


def test_not_an_archive(tmp_path):
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"cifar-100-python\.tar\.gz is damaged"):
        module.Cifar100(path)


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no cifar-10-python\.tar\.gz in .*absent.*https.*PPEFFCONV_DATA"):
        module.Cifar10(tmp_path / "absent")


def test_absent_and_no_network(tmp_path, monkeypatch):
    def fail(url, md5, name):
        raise RuntimeError(f"Cannot download {url}")

    monkeypatch.setenv("PPEFFCONV_DATA", str(tmp_path))
    monkeypatch.setattr(module, "paddle_download", fail)
    with pytest.raises(FileNotFoundError, match="the download failed: Cannot download"):
        module.Cifar10()
    with pytest.raises(FileNotFoundError) as error:
        module.Cifar10(download=False)
    assert "download failed" not in str(error.value)


def test_downloads_as_the_last_resort(cifar10, tmp_path, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(module, "paddle_download", lambda url, md5, name: cifar10)
    assert len(module.Cifar10()) == 5
