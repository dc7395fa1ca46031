"""No file runs code: pickles that try are refused, in every format that contains one."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.utils.unpickling import RefusedError, Unpickler
from ppeffconv.weights import load_weights, read_file, torch_file

DATA = Path(__file__).parent / "data"


def call(module, name, argument, protocol=2):
    """A pickle that calls module.name(argument), as bytes; by each of the ways that protocols know."""
    name_it = {
        2: b"c" + f"{module}\n{name}\n".encode(),
        4: b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93",
    }
    text = b"X" + len(argument).to_bytes(4, "little") + argument.encode()
    if protocol == "inst":
        return b"\x80\x02(" + text + f"i{module}\n{name}\n".encode() + b"."
    if protocol == "obj":
        return b"\x80\x02(" + name_it[2] + text + b"o."
    return b"\x80" + bytes([protocol]) + name_it[protocol] + text + b"\x85R."


def as_pdparams(path, content):
    path.write_bytes(content)


def as_zip(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)


def as_legacy(path, content):
    path.write_bytes(torch_file.LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + content)


@pytest.mark.parametrize("write", [as_pdparams, as_zip, as_legacy])
@pytest.mark.parametrize("protocol", [2, 4, "inst", "obj"])
@pytest.mark.parametrize(("module", "name"), [("os", "mkdir"), ("builtins", "open"), ("posix", "mkdir")])
def test_no_code_is_run(tmp_path, write, module, name, protocol):
    path, trap = tmp_path / "x.pdparams", tmp_path / "trap"
    content = call(module, name, str(trap), protocol)
    pickletools.dis(content, io.StringIO())  # it is a pickle
    if name == "mkdir":
        pickle.loads(content)  # and it works
        trap.rmdir()
    write(path, content)
    with pytest.raises(RuntimeError, match=f"it asks for {module}.{name}"):
        read_file(path)
    assert not trap.exists()


def test_the_way_in_is_closed(tmp_path):
    """`create_model`, which may be given a file from anywhere, goes the same way."""
    path = tmp_path / "x.pdparams"
    path.write_bytes(call("os", "system", "true"))
    with pytest.raises(RuntimeError, match="can run any code"):
        ppeffconv.create_model("resnet20", pretrained=path)


def test_what_a_pickle_does_to_its_stand_ins_ends_with_it():
    """BUILD may change the functions and classes that a pickle was given."""
    changed = Unpickler(io.BytesIO(b"\x80\x02c_codecs\nencode\n(ccollections\nOrderedDict\n)}}tb.")).load()
    assert changed() == {}  # no more an encoder, but an OrderedDict
    for attribute in (b"}X\x01\x00\x00\x00aK\x01s", b"N}X\x01\x00\x00\x00aK\x01s\x86"):
        for name in (b"numpy\ndtype", b"collections\nOrderedDict"):
            with pytest.raises((TypeError, AttributeError)):
                Unpickler(io.BytesIO(b"\x80\x02c" + name + b"\n" + attribute + b"b.")).load()
    array = np.arange(3)
    assert (Unpickler(io.BytesIO(pickle.dumps(array, 2))).load().value() == array).all()


@pytest.mark.parametrize(
    "value",
    [
        np.array([{}, "x"], object),
        np.array(["a"]),
        np.array([(1, 2.0)], "i4,f4"),
        np.datetime64("2020-01-01"),
        np.ma.array([1]),
        Path("x"),
        print,
    ],
)
def test_only_numbers(value):
    with pytest.raises(RefusedError):
        Unpickler(io.BytesIO(pickle.dumps(value, 2))).load()


def test_no_encoding_but_latin1():
    with pytest.raises(RefusedError, match="encodes a string as"):
        Unpickler(io.BytesIO(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.")).load()


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", ">f8", "float16", "int64", "uint8", "bool", "complex64"])
def test_arrays(protocol, dtype):
    for array in (
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.eye(2)),
        np.array(7),
        np.zeros((0, 3)),
        np.eye(4)[:, 1],
    ):
        array = array.astype(dtype)
        got = Unpickler(io.BytesIO(pickle.dumps(array, protocol))).load().value()
        assert got.dtype == array.dtype
        assert got.shape == array.shape
        assert (got == array).all()
    assert Unpickler(io.BytesIO(pickle.dumps(array.dtype.type(1), protocol))).load() == 1


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_all_that_paddle_saves(tmp_path, protocol):
    """Equal to ``paddle.load``, which trusts its file."""
    net = paddle.nn.Linear(2, 3)
    optimizer = paddle.optimizer.Adam(paddle.optimizer.lr.CosineAnnealingDecay(0.1, 10), parameters=net.parameters())
    net(paddle.ones([1, 2])).sum().backward()
    optimizer.step()
    nested = {"list": [paddle.ones([2]), 1.0, None, "x"], "tuple": (1, 2), "set": {1}, "scalar": np.float64(2), 3: {}}
    for value in (net.state_dict(), optimizer.state_dict(), nested, [net.weight], net.bias, 5):
        path = tmp_path / "x.pdparams"
        paddle.save(value, str(path), protocol=protocol)
        assert repr(read_file(path)) == repr(dict_of(paddle.load(str(path), return_numpy=True)))


def dict_of(value):
    return dict(value) if isinstance(value, dict) else value


def test_large_arrays_that_paddle_has_cut(tmp_path):
    path = tmp_path / "x.pdparams"
    info = {"w": {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.1"]}}
    parts = {"w@@.0": np.arange(4), "w@@.1": np.arange(4, 6)}
    path.write_bytes(pickle.dumps({**parts, "UnpackBigParamInfor@@": info}, 2))
    assert read_file(path)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_bfloat16_weights(tmp_path):
    """NumPy sees their bits, as uint16."""
    theirs, ours = paddle.nn.Linear(2, 3), paddle.nn.Linear(2, 3)
    paddle.save({k: v.astype("bfloat16") for k, v in theirs.state_dict().items()}, str(tmp_path / "x.pdparams"))
    load_weights(ours, tmp_path / "x.pdparams")
    np.testing.assert_allclose(ours.weight.numpy(), theirs.weight.numpy(), rtol=2**-8)


def test_little_files_do_little_work(tmp_path):
    """Shared parts are visited once, and a list in itself ends."""
    path = tmp_path / "x.pdparams"
    laughs = [1]
    for _ in range(60):
        laughs = [laughs, laughs]
    path.write_bytes(pickle.dumps(laughs, 2))
    assert len(read_file(path)) == 2
    path.write_bytes(b"\x80\x02]q\x00h\x00a.")
    assert read_file(path) == [None]
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")  # remembered at place 2 147 483 647
    assert read_file(path) is None


@pytest.mark.parametrize("source", ["torch_zip.pth", "torch_legacy.pth", "pdparams", "safetensors"])
def test_damage_anywhere_is_an_error_or_harmless(tmp_path, source):
    path, random = tmp_path / "x", np.random.default_rng(0)
    if source in ("pdparams", "safetensors"):
        state = {"a": np.arange(5, dtype="float32"), "b": np.ones((2, 3), "float16")}
        if source == "pdparams":
            paddle.save({k: paddle.to_tensor(v) for k, v in state.items()}, str(path))
        else:
            from safetensors.numpy import save_file

            save_file(state, path)
        content = path.read_bytes()
    else:
        content = (DATA / source).read_bytes()
    errors = 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read_file(path)
        except RuntimeError:
            errors += 1
    assert errors > 5
