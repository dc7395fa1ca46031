"""The choice of the feature maps' type: measured once, kept, and never to a slower one in silence."""

from __future__ import annotations

import json
import logging

import pytest

import ppeffconv
from ppeffconv.deployed import precision, report
from ppeffconv.ops import loader

from .networks import create, need


@pytest.fixture
def gain(tmp_path, monkeypatch):
    """Sets what a measurement gives, in a cache of its own; counts the measurements."""
    need("cpu")
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path))
    precision._gain.cache_clear()
    precision._warn.cache_clear()
    measured = []

    def setting(value: float) -> list[float]:
        monkeypatch.setattr(precision, "_measure", lambda: measured.append(value) or value)
        return measured

    yield setting
    precision._gain.cache_clear()
    precision._warn.cache_clear()


def dtype_of(**arguments) -> str:
    return report(ppeffconv.deploy(create("resnet20"), **arguments)).parts[0].program.dtype


@pytest.mark.parametrize(("value", "dtype"), [(0.7, "float32"), (1.05, "float32"), (1.6, "bfloat16")])
def test_auto_takes_the_faster_one(gain, caplog, value, dtype):
    measured = gain(value)
    with caplog.at_level(logging.WARNING, "ppeffconv"):
        assert dtype_of(dtype="auto") == dtype_of(dtype="auto") == dtype
    assert measured == [value]
    assert caplog.text == ""


def test_float32_asks_for_nothing(gain):
    measured = gain(0.5)
    assert dtype_of() == "float32"
    assert dtype_of(dtype="auto", backend="reference") == "float32"
    assert dtype_of(dtype="bfloat16", backend="reference") == "bfloat16"
    assert measured == []


def test_the_slower_one_on_request_warns_once(gain, caplog):
    gain(0.8)
    with caplog.at_level(logging.WARNING, "ppeffconv"):
        for _ in range(2):
            assert dtype_of(dtype="bfloat16") == "bfloat16"
    assert caplog.text.count("bfloat16 takes 1.25 times as long as float32 here (") == 1


def test_it_is_kept_for_each_library_and_number_of_threads(gain, tmp_path, monkeypatch):
    measured = gain(1.5)
    assert precision.bfloat16_gain() == 1.5
    kept = json.loads((tmp_path / precision.FILE).read_text())
    ((key, value),) = kept.items()
    assert value == 1.5
    assert loader.library().path.name in key
    precision._gain.cache_clear()  # as in another process
    assert precision.bfloat16_gain() == 1.5
    assert len(measured) == 1
    monkeypatch.setattr(precision, "threads", lambda: 77)
    gain(0.9)
    assert precision.bfloat16_gain() == 0.9
    assert len(json.loads((tmp_path / precision.FILE).read_text())) == 2


DAMAGED = ("", "{", "[1]", "null", '{"KEY": "fast"}', '{"KEY": -1.0}', '{"KEY": NaN}', '{"KEY": true}', b"\xff\xfe")


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_measured_again(gain, tmp_path, text):
    measured = gain(1.5)
    precision.bfloat16_gain()
    (key,) = json.loads((tmp_path / precision.FILE).read_text())
    precision._gain.cache_clear()
    content = text if isinstance(text, bytes) else text.replace("KEY", key.replace('"', "")).encode()
    (tmp_path / precision.FILE).write_bytes(content)
    assert precision.bfloat16_gain() == 1.5
    assert len(measured) == 2
    assert json.loads((tmp_path / precision.FILE).read_text()) == {key: 1.5}


def test_a_cache_that_cannot_be_written(gain, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path / "file" / "below"))
    gain(1.5)
    assert precision.bfloat16_gain() == 1.5


def test_the_measurement_itself():
    need("cpu")
    assert 0.05 < precision._measure() < 20
