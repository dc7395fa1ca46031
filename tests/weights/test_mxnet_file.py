"""MXNet's .params, against files that are written here byte by byte."""

from __future__ import annotations

import io
import struct
import tarfile

import numpy as np
import pytest

from ppeffconv.weights import read_file

CODES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7, "int16": 8}
ARRAY = np.arange(6).reshape(1, 2, 3)


def file_of(arrays, names, magic=0x112, reserved=0):
    """``arrays`` are bytes, made by ``array``."""
    parts = [struct.pack("<QQQ", magic, reserved, len(arrays)), *arrays, struct.pack("<Q", len(names))]
    for name in names:
        parts += [struct.pack("<Q", len(name)), name if isinstance(name, bytes) else name.encode()]
    return b"".join(parts)


def array(value, version, kind=0, code=None):
    value = np.asarray(value)
    shape, rank = value.shape, value.ndim
    head = {
        0: struct.pack("<I", rank) + struct.pack(f"<{rank}I", *shape),
        1: struct.pack("<Ii", 0xF993FAC8, rank) + struct.pack(f"<{rank}q", *shape),
        2: struct.pack("<Iii", 0xF993FAC9, kind, rank) + struct.pack(f"<{rank}q", *shape),
        3: struct.pack("<Iii", 0xF993FACA, kind, rank) + struct.pack(f"<{rank}q", *shape),
    }[version]
    gpu_1 = struct.pack("<ii", 2, 1)
    little = value.astype(value.dtype.newbyteorder("<")).tobytes()
    return head + gpu_1 + struct.pack("<i", CODES[str(value.dtype)] if code is None else code) + little


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "x.params"
        path.write_bytes(content)
        return read_file(path)

    return read


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", list(CODES))
def test_every_version_and_type(read, version, dtype):
    values = {"arg:conv.weight": ARRAY.astype(dtype), "aux:bn.running_mean": np.array([1, 0, 1]).astype(dtype)}
    got = read(file_of([array(value, version) for value in values.values()], list(values)))
    assert list(got) == list(values)
    for name, value in values.items():
        assert got[name].dtype == value.dtype
        assert got[name].shape == value.shape
        assert (got[name] == value).all()


def test_bfloat16(read):
    bits = np.array([0x3F80, 0xC000, 0x3E80], "uint16")  # 1, -2, 0.25
    got = read(file_of([array(bits, 2, code=12)], ["w"]))["w"]
    assert got.dtype == np.float32
    assert got.tolist() == [1, -2, 0.25]


def test_versions_side_by_side_and_a_scalar(read):
    got = read(file_of([array(ARRAY, 0), array(np.float32(2.5), 3), array(ARRAY, 2)], ["a", "b", "c"]))
    assert got["b"].shape == ()
    assert got["b"] == 2.5
    assert (got["c"] == ARRAY).all()


def test_without_names(read):
    assert list(read(file_of([array(ARRAY, 2), array(ARRAY, 2)], []))) == ["0", "1"]


def test_arrays_that_were_never_filled_are_left_out(read):
    empty = [
        struct.pack("<I", 0),
        struct.pack("<Ii", 0xF993FAC8, 0),
        struct.pack("<Iii", 0xF993FAC9, 0, 0),
        struct.pack("<Iii", 0xF993FACA, 0, -1),
        struct.pack("<Iiiqq", 0xF993FACA, 0, 2, 3, -1),
    ]
    got = read(file_of([*empty, array(ARRAY, 2)], list("abcdef")))
    assert list(got) == ["f"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file_of([], [], reserved=1), "does not begin"),
        (file_of([array(ARRAY, 2)], ["a", "b"]), "1 arrays and 2 different names"),
        (file_of([array(ARRAY, 2)] * 2, ["a", "a"]), "2 arrays and 1 different names"),
        (file_of([array(ARRAY, 2)], ["a"]) + b"x", "1 bytes follow"),
        (file_of([array(ARRAY, 2, kind=1)], ["a"]), "sparse"),
        (file_of([array(ARRAY, 2, code=99)], ["a"]), "element type 99"),
        (file_of([array(ARRAY, 2)], [b"\xff"]), "decode"),
        (file_of([struct.pack("<I", 0xF993FAFF)], ["a"]), "unknown version 0xf993faff"),
        (file_of([struct.pack("<Iii", 0xF993FAC9, 0, 1000)], ["a"]), "1000 dimensions"),
        (file_of([struct.pack("<Iii", 0xF993FAC9, 0, -1)], ["a"]), "rank -1"),
        (file_of([struct.pack("<Iiiq", 0xF993FAC9, 0, 1, -5)], ["a"]), r"shape \(-5,\)"),
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), "announces 1152921504606846976 items"),
        (file_of([array(ARRAY, 2)], [])[:-8] + struct.pack("<QQ", 1, 1 << 50), "announces"),
    ],
)
def test_damaged_and_hostile_files(read, content, message):
    with pytest.raises(RuntimeError, match=message):
        read(content)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 40, 1 << 40), (1 << 62, 4), (7, 1)])
def test_shapes_that_promise_more_than_there_is(read, version, shape):
    """The product overflows 64 bits, or is one element too large."""
    good = array(np.zeros((2, 3), "float32"), version)
    head = len(good) - 24 - 12 - 8 * 2 - 4
    bad = good[:head] + struct.pack("<i", len(shape)) + struct.pack(f"<{len(shape)}q", *shape) + good[-36:]
    with pytest.raises(RuntimeError, match="bytes too early"):
        read(file_of([bad], []))


def test_every_truncation(read):
    content = file_of([array(ARRAY, 0), array(ARRAY, 2)], ["first", "second"])
    for length in range(len(content)):
        with pytest.raises(RuntimeError, match="cannot read"):
            read(content[:length])


class TestTar:
    def tar(self, path, *members):
        with tarfile.open(path, "w") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    def test_the_one_file_of_parameters(self, tmp_path):
        content = file_of([array(ARRAY, 2)], ["w"])
        path = self.tar(tmp_path / "a.tar", ("net/symbol.json", b"{}"), ("net/checkpoint-0-0000.params", content))
        assert (read_file(path)["w"] == ARRAY).all()

    @pytest.mark.parametrize("count", [0, 2])
    def test_none_or_several(self, tmp_path, count):
        members = [(f"{i}.params", file_of([], [])) for i in range(count)]
        with pytest.raises(RuntimeError, match=f"it has {count} files .params"):
            read_file(self.tar(tmp_path / "a.tar", ("x", b"x"), *members))

    def test_nothing_is_written_and_no_link_followed(self, tmp_path):
        path, folder = tmp_path / "in" / "a.tar", tmp_path / "in"
        folder.mkdir()
        secret = tmp_path / "secret.params"
        secret.write_bytes(file_of([array(ARRAY, 2)], ["w"]))
        with tarfile.open(path, "w") as archive:
            link = tarfile.TarInfo("link.params")
            link.type, link.linkname = tarfile.SYMTYPE, str(secret)
            archive.addfile(link)
        with pytest.raises(RuntimeError, match="it has 0 files"):
            read_file(path)
        content = file_of([array(ARRAY, 2)], ["w"])
        assert list(read_file(self.tar(path, ("../escaped.params", content)))) == ["w"]
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "in", "secret.params"]
