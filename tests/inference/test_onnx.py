"""ONNX, made by paddle2onnx and run by onnxruntime."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

from ppeffconv.inference import exporter, onnx
from ppeffconv.inference.exporter import export
from ppeffconv.inference.predictor import Predictor

from .test_exporter import FORMS, engine, images, small

installed = pytest.mark.skipif(
    importlib.util.find_spec("paddle2onnx") is None or importlib.util.find_spec("onnxruntime") is None,
    reason="paddle2onnx or onnxruntime is not installed",
)


@installed
@pytest.mark.parametrize("deploy", FORMS)
def test_onnxruntime_gives_the_numbers_of_the_network(tmp_path, deploy):
    """The ONNX model has Paddle's own operators even beside the engine's form, for any batch and size."""
    net = small("oct_resnet20" if deploy else "sp_resnet20")
    path = export(net, tmp_path / "net", (2, 17, 15), deploy, onnx=True)
    assert sorted(os.listdir(path)) == ["manifest.json", "model.json", "model.onnx", "model.pdiparams"]
    info = Predictor(path).info
    assert info["onnx_accuracy"]["error"] < 1e-4
    assert "model.onnx" in info["files"]
    run = onnx.runner(path / "model.onnx")
    for batch, size in ((1, (17, 15)), (2, (22, 9))):
        expected = net(paddle.to_tensor(images(batch, size))).numpy()
        np.testing.assert_allclose(run(images(batch, size))[0], expected, atol=1e-4 * expected.std())


def test_a_difference_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "require_onnx", lambda: None)
    monkeypatch.setattr(exporter, "convert", lambda source, target: target.touch())
    monkeypatch.setattr(exporter, "runner", lambda path: lambda x: [np.zeros((len(x), 5), "float32")])
    with pytest.raises(RuntimeError, match=r"the ONNX model in onnxruntime differs from the network"):
        export(small(), tmp_path / "net", (2, 17, 15), deploy=False, onnx=True)
    assert os.listdir(tmp_path) == []


class Padded(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(2, 3, 3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return sum(self.conv(F.pad(x, [side] * 4)).mean([2, 3]) for side in (1, 2, 3, 4))


@installed
def test_padding_is_with_zeros(tmp_path):
    """Paddle2ONNX leaves the value to chance."""
    path = export(Padded(), tmp_path / "net", (2, 9, 9), deploy=False, onnx=True)
    assert Predictor(path).info["onnx_accuracy"]["error"] < 1e-5


@installed
def test_what_paddle2onnx_cannot_convert(tmp_path):
    """It would end this process."""
    net = nn.Sequential(nn.Conv2D(2, 3, 3), nn.BatchNorm2D(3), nn.AdaptiveAvgPool2D(3))
    with pytest.raises(RuntimeError, match=r"cannot convert .*only support static input shape.*fixed_size=True"):
        export(net, tmp_path / "net", (2, 9, 9), deploy=False, onnx=True)
    assert os.listdir(tmp_path) == []
    path = export(net, tmp_path / "net", (2, 8, 8), deploy=False, onnx=True, fixed_size=True)
    assert onnx.runner(path / "model.onnx")(images(2, (8, 8)))[0].shape == (2, 3, 3, 3)


@installed
def test_what_onnxruntime_cannot_read(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(RuntimeError, match="onnxruntime cannot run"):
        onnx.runner(tmp_path / "bad.onnx")


def test_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'paddle2onnx==2\.1\.0' 'onnxruntime>=1\.23'"):
        export(small(), tmp_path / "net", (2, 17, 15), deploy=False, onnx=True)


@engine
def test_bfloat16_has_no_onnx(tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "require_onnx", lambda: None)
    with pytest.raises(ValueError, match="onnx=True needs dtype float32"):
        export(small(), tmp_path / "net", (2, 17, 15), dtype="bfloat16", onnx=True)
