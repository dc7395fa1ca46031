"""Export, the check of what was exported, and the predictor."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

from ppeffconv.engine import exporter
from ppeffconv.engine.exporter import export
from ppeffconv.engine.predictor import Predictor

SHAPE = (2, 9, 7)
FILES = ["model.json", "model.pdiparams", "model.yaml"]


class Net(nn.Layer):
    """Nearest interpolation, which oneDNN in Paddle Inference cannot do, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(2, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2D(4)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = F.interpolate(F.relu(self.norm(self.conv(x))), size=x.shape[2:], mode="nearest")
        return self.fc(self.drop(y.mean([2, 3])))


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((batch, *SHAPE)).astype("float32")


@pytest.mark.parametrize("threads", [None, 2])
def test_predictor_gives_the_numbers_of_the_network(tmp_path, threads):
    net = Net()
    net.norm.eval()
    path = export(net, tmp_path / "new" / "model", SHAPE, {"class_names": ["ä", "b", "c", "d", "e"]})
    assert sorted(p.name for p in path.parent.iterdir()) == FILES
    assert (net.training, net.drop.training, net.norm.training) == (True, True, False)
    predictor = Predictor(path, threads)
    assert predictor.info == {"input_shape": [2, 9, 7], "class_names": ["ä", "b", "c", "d", "e"]}
    net.eval()
    for batch in (1, 4, 2):
        expected = net(paddle.to_tensor(images(batch))).numpy()
        np.testing.assert_allclose(predictor.run(images(batch)), expected, atol=1e-5 * expected.std())


def test_paddle_itself_loads_it(tmp_path):
    """paddle.jit.load takes any ``model.<name>.json`` beside the program for another of its functions."""
    net = Net()
    path = export(net, tmp_path / "model", SHAPE)
    net.eval()
    loaded = paddle.jit.load(str(path))
    loaded.eval()
    images_ = paddle.to_tensor(images(2))
    np.testing.assert_allclose(loaded(images_).numpy(), net(images_).numpy(), atol=1e-6)


def test_a_difference_fails_and_keeps_the_earlier_export(tmp_path, monkeypatch):
    path = export(Net(), tmp_path / "model", SHAPE)
    before = path.with_suffix(".pdiparams").read_bytes()

    class Wrong(Predictor):
        def run(self, images):
            result = super().run(images)
            return result * 1.001 if len(images) == 3 else result

    monkeypatch.setattr(exporter, "Predictor", Wrong)
    with pytest.raises(RuntimeError, match="differs from the network by .* on a batch of 3"):
        export(Net(), path, SHAPE)
    assert path.with_suffix(".pdiparams").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


def test_random_network_is_refused(tmp_path):
    class Noisy(Net):
        def forward(self, x):
            return super().forward(x) + paddle.rand([1])

    with pytest.raises(RuntimeError, match="two outputs for one input in eval mode"):
        export(Noisy(), tmp_path / "model", SHAPE)
    assert list(tmp_path.iterdir()) == []


def test_output_that_is_not_finite_is_refused(tmp_path):
    net = Net()
    net.fc.bias.set_value(paddle.full([5], float("nan")))
    with pytest.raises(RuntimeError, match="output for random images is not finite"):
        export(net, tmp_path / "model", SHAPE)


@pytest.mark.parametrize("shape", [(1, 8), (0, 8, 8)])
def test_bad_shape(tmp_path, shape):
    with pytest.raises(ValueError, match="input_shape must be"):
        export(Net(), tmp_path / "model", shape)


def test_predictor_checks_its_input(tmp_path):
    path = export(Net(), tmp_path / "model", SHAPE)
    predictor = Predictor(path)
    for wrong in (images(1).astype("float64"), images(1)[:, :1], images(1)[0], [1.0]):
        with pytest.raises(ValueError, match=r"expected a float32 array \[N, 2, 9, 7\], got"):
            predictor.run(wrong)
    with pytest.raises(ValueError, match="empty batch"):
        predictor.run(images(0))
    strided = np.ascontiguousarray(images(2).transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(predictor.run(strided), predictor.run(images(2)))


def test_predictor_without_a_network(tmp_path):
    with pytest.raises(FileNotFoundError, match="model.json is missing"):
        Predictor(tmp_path / "model")
    path = export(Net(), tmp_path / "model", SHAPE)
    with pytest.raises(ValueError, match="threads must be >= 1, got 0"):
        Predictor(path, threads=0)
