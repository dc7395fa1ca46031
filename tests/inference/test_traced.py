"""Exports that fail leave the process sound, and networks whose shapes no guess would fit are exported."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.inference.exporter import export
from ppeffconv.inference.predictor import Predictor
from ppeffconv.ops import loader

engine = pytest.mark.skipif("deployed" not in loader.library().ops, reason="kernels not compiled")


def wide_pool() -> nn.Layer:
    """Too small for images of 512x512, fine for its own."""
    return nn.Sequential(nn.Conv2D(1, 8, 32, stride=32), nn.BatchNorm2D(8), nn.ReLU(), nn.AvgPool2D((4, 31)))


def hanging_pool() -> nn.Layer:
    """Of 512x512 the last window lies in the padding alone."""
    return nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2D(3, 3, padding=1, ceil_mode=True))


CASES = [(wide_pool, (1, 128, 1000)), (hanging_pool, (3, 31, 33)), (hanging_pool, (3, 32, 32))]


@engine
@pytest.mark.parametrize("fixed_size", [False, True])
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_no_size_is_guessed(tmp_path, make, shape, fixed_size):
    paddle.seed(0)
    net = make()
    net.eval()
    export(net, tmp_path / "net", shape, fixed_size=fixed_size)
    images = np.random.default_rng(0).standard_normal((2, *shape)).astype("float32")
    with paddle.no_grad():
        expected = net(paddle.to_tensor(images)).numpy()
    np.testing.assert_allclose(Predictor(tmp_path / "net").run(images), expected, rtol=1e-4, atol=1e-4)


@engine
def test_what_the_kernel_says_passes_through_paddle_inference(tmp_path):
    net = nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm2D(8), nn.ReLU())
    export(net, tmp_path / "net", (3, 16, 16))
    predictor = Predictor(tmp_path / "net")
    predictor.info["smallest_size"] = [1, 1]
    for size in (2, 16, 1):
        images = np.ones((1, 3, size, size), "float32")
        if size > 2:
            assert predictor.run(images).shape == (1, 8, size - 2, size - 2)
        else:
            with pytest.raises(RuntimeError) as caught:
                predictor.run(images)
            assert "the images are too small, nothing is left for: conv v1" in str(caught.value.__cause__)


SOUND = """
import gc, sys, tempfile
import paddle
from paddle import nn
from ppeffconv.inference.exporter import export

class Failing(nn.Layer):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU())
        self.head = nn.Conv2D(8, 8, 1)

    def forward(self, x):
        if self.kind == "first" and not paddle.in_dynamic_mode():
            raise ValueError(f"first: {x.shape}")
        y = self.body(x)
        if self.kind == "middle" and not paddle.in_dynamic_mode():
            raise ValueError(f"middle: {y.shape}")
        y = self.head(y)
        if self.kind == "zero" and not paddle.in_dynamic_mode():
            return y * (1 / 0)
        return y + paddle.zeros([1, 9, 16, 16]) if self.kind == "last" and not paddle.in_dynamic_mode() else y

def make(kind):
    return Failing(kind) if kind else nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU())

done, errors = 0, []
kinds = ("first", "first", "", "middle", "middle", "", "last", "zero", "", "middle")
for number, kind in enumerate(kinds * 2):
    with tempfile.TemporaryDirectory() as folder:
        try:
            export(make(kind), folder + "/net", (3, 16, 16), deploy=sys.argv[1] == "engine")
            done += 1
        except RuntimeError as error:
            errors.append(error)  # with its traceback, and all that lies in its frames
    if number % 4 == 3:
        errors.clear()
        gc.collect()
print(done)
"""


@pytest.mark.parametrize("form", [pytest.param("engine", marks=engine), "stock"])
def test_failed_and_good_exports_in_turn(form):
    run = subprocess.run([sys.executable, "-c", SOUND, form], capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout.splitlines()[-1]) == 6
