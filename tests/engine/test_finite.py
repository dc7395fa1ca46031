"""The layer that spoils a forward is found."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine.finite import ForwardRecorder, is_finite


class Log(nn.Layer):
    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.log(x)


def explain(net: nn.Layer, images: paddle.Tensor) -> str:
    recorder = ForwardRecorder(net)
    net(images)
    try:
        return recorder.explain()
    finally:
        recorder.remove()


def test_names_the_first_layer_not_its_container():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), Log()), nn.Linear(2, 2))
    text = explain(net, paddle.zeros([1, 2]) - 1)
    assert "layer '1.1' (Log)" in text
    assert "parameter" not in text


def test_names_the_parameter_that_is_already_spoilt():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight.set_value(paddle.full([2, 2], float("nan")))
    assert "layer '1' (Linear), whose parameter 'weight' is not finite" in explain(net, paddle.ones([1, 2]))


def test_tells_bad_images_and_a_bad_loss_apart():
    net = nn.Linear(2, 2)
    assert explain(net, paddle.full([1, 2], float("inf"))) == "the batch of images itself is not finite"
    assert explain(net, paddle.ones([1, 2])).startswith("every layer's output is finite")


def test_runs_the_forward_again_with_the_noise_it_had():
    class Rare(nn.Layer):
        """Spoils one forward in about ten."""

        def forward(self, x):
            return x / (paddle.rand([1]) > 0.1).astype("float32")

    net = Rare()
    recorder = ForwardRecorder(net)
    while is_finite(net(paddle.ones([1]))):
        pass
    assert "(Rare)" in recorder.explain()


def test_recorder_removed_leaves_no_trace():
    net = nn.Linear(2, 2)
    recorder = ForwardRecorder(net)
    recorder.remove()
    net(paddle.ones([1, 2]))
    assert recorder.inputs == ()
    assert not net._forward_pre_hooks


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_is_finite(bad):
    fine = paddle.ones([2, 2])
    broken = paddle.to_tensor([1.0, bad])
    assert is_finite({"a": [fine, (fine,)], "n": paddle.to_tensor([1])})
    assert not is_finite([fine, {"a": broken}])
    assert is_finite(None)
