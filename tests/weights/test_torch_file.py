"""PyTorch's files. Those in data/ were written by PyTorch 2.13; the damaged and hostile ones are made of them."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ppeffconv.weights import read_file

DATA = Path(__file__).parent / "data"
FILES = ("torch_zip.pth", "torch_legacy.pth")
BASE = np.arange(42, dtype="float32").reshape(6, 7)
HALF = np.array([[0.5, -2.0], [1.5, 3.0]], "float32")


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_of_pytorch(name):
    value = read_file(DATA / name)
    state = value["state_dict"]
    assert (state["conv.weight"] == BASE).all()
    assert (state["bn.bias"] == BASE[0]).all()
    assert (value["epoch"], value["best_prec1"], value["arch"], value["size"]) == (3, 77.25, "resnet", (6, 7))
    views = [BASE.T, BASE[1:4, 2:5], BASE[::2, ::3], BASE[5, 6], np.zeros((0, 3))]
    for got, expected in zip(value["views"], views, strict=True):
        assert got.shape == expected.shape
        assert (got == expected).all()
    for kind, got in value["kinds"].items():
        dtype = np.dtype("f4" if kind == "bf16" else kind)
        assert got.dtype == dtype
        assert (got == (np.abs(HALF).astype(dtype) if kind == "u1" else HALF.astype(dtype))).all(), kind


def rewritten(tmp_path, change, compression=zipfile.ZIP_STORED):
    """torch_zip.pth with its members changed by ``change(name, content)``."""
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(DATA / "torch_zip.pth") as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            content = change(name.split("/", 1)[1], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def test_another_byte_order(tmp_path):
    def change(name, content):
        if name == "data/0":  # the storage of BASE
            return np.frombuffer(content, "<f4").astype(">f4").tobytes()
        return b"big" if name == "byteorder" else content

    assert (read_file(rewritten(tmp_path, change))["state_dict"]["conv.weight"] == BASE).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, content: content[:-4] if name == "data/0" else content, "164 bytes instead of 168"),
        (lambda name, content: None if name == "data/0" else content, "no item named"),
        (lambda name, content: None if name == "data.pkl" else content, "damaged"),
        (lambda name, content: content[:-9] if name == "data.pkl" else content, "damaged"),
    ],
)
def test_damaged_members(tmp_path, change, message):
    with pytest.raises(RuntimeError, match=message):
        read_file(rewritten(tmp_path, change))


def test_compressed_members_are_refused(tmp_path):
    with pytest.raises(RuntimeError, match="is compressed"):
        read_file(rewritten(tmp_path, lambda name, content: content, zipfile.ZIP_DEFLATED))


class Call:
    """Pickles as a call of a function whose module need not exist here."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Storage(tuple):
    """Pickles as a persistent id."""


class Writer(pickle._Pickler):
    """An independent writer of hostile pickles."""

    def persistent_id(self, value):
        return (
            ("storage", Call(f"torch\n{value[0]}Storage"), "0", "cpu", value[1]) if isinstance(value, Storage) else None
        )

    def save(self, value, *rest, **options):
        if not isinstance(value, Call):
            return super().save(value, *rest, **options)
        self.write(b"c" + value.function.encode() + b"\n")
        if value.arguments:
            self.save(value.arguments)
            self.write(b"R")
        return None


def tensor_file(tmp_path, *arguments, storage=("Float", 6)):
    """A checkpoint of one tensor over the six numbers 0 to 5, rebuilt with ``arguments``."""
    buffer, path = io.BytesIO(), tmp_path / "x.pth"
    Writer(buffer, 2).dump({"w": Call("torch._utils\n_rebuild_tensor_v2", Storage(storage), *arguments, False, None)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/data/0", np.arange(6, dtype="<f4").tobytes())
    return path


def test_the_writer_itself(tmp_path):
    assert (read_file(tensor_file(tmp_path, 1, (2, 2), (1, 2)))["w"] == [[1, 3], [2, 4]]).all()


@pytest.mark.parametrize(
    ("arguments", "storage"),
    [
        ((1, (2, 3), (3, 1)), ("Float", 6)),  # one past the end
        ((-1, (2,), (1,)), ("Float", 6)),
        ((0, (2,), (-1,)), ("Float", 6)),
        ((0, (-2,), (1,)), ("Float", 6)),
        ((0, (2,), (1, 1)), ("Float", 6)),
        ((0, (2.0,), (1,)), ("Float", 6)),
        ((0, (1 << 40,), (0,)), ("Float", 6)),  # huge, out of one number
        ((0, (1 << 40, 1 << 40), (1, 1)), ("Float", 6)),
        ((0, (6,), (1,)), ("Float", 7)),
        ((0, (6,), (1,)), ("Float", -6)),
        ((0, (6,), (1,)), ("Float", "6")),
        ((0, (6,), (1,)), ("Quantum", 6)),
    ],
)
def test_hostile_tensors(tmp_path, arguments, storage):
    with pytest.raises(RuntimeError, match=r"cannot read .*x\.pth"):
        read_file(tensor_file(tmp_path, *arguments, storage=storage))


@pytest.mark.parametrize("name", FILES)
def test_truncated_files(tmp_path, name):
    content, path = (DATA / name).read_bytes(), tmp_path / "x.pth"
    for length in range(0, len(content) - 1, 211):
        path.write_bytes(content[:length])
        with pytest.raises(RuntimeError, match=re.escape(str(path))):
            read_file(path)


def test_a_tensor_cannot_be_changed_after_it_was_checked(tmp_path):
    """BUILD would set its strides, and a negative one would read before the numbers."""
    build = b"}X\x06\x00\x00\x00strideJ\xf0\xd8\xff\xffK\x01\x86sb"  # {"stride": (-10000, 1)}

    def change(name, content):
        if name != "data.pkl":
            return content
        end = content.index(b"X\x07\x00\x00\x00bn.bias")  # where the first tensor has been made
        return content[:end] + build + content[end:]

    with pytest.raises(RuntimeError, match="changes a tensor after it was made"):
        read_file(rewritten(tmp_path, change))
