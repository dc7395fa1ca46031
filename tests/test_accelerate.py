"""`accelerate`: any Paddle network on the fast convolution, and back."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision.models import MobileNetV2, resnet18

import ppeffconv
from ppeffconv.accelerate import is_accelerated
from ppeffconv.ops import loader
from tests import oracles

IMAGES = oracles.random(2, 3, 32, 32).astype("float32")


def gradients(net):
    """Output and the gradients of all parameters for the same images."""
    net.clear_gradients()
    y = net(paddle.to_tensor(IMAGES))
    (y * paddle.to_tensor(oracles.random(*y.shape, seed=1).astype("float32"))).sum().backward()
    return [y.numpy(), *(p.grad.numpy() for p in net.parameters() if p.grad is not None)]


def taken(net):
    return [layer for layer in net.sublayers(include_self=True) if is_accelerated(layer)]


@pytest.mark.parametrize("make", [lambda: resnet18(num_classes=5), lambda: MobileNetV2(scale=0.25, num_classes=5)])
def test_same_values_and_gradients_and_back(make):
    net = make()
    net.eval()  # batch statistics of 2 x 1 x 1 values would amplify rounding
    before = gradients(net)
    keys = list(net.state_dict())
    assert ppeffconv.accelerate(net) is net
    assert len(taken(net)) == sum(type(layer) in (nn.Conv2D, nn.BatchNorm2D) for layer in net.sublayers())
    for ours, theirs in zip(gradients(net), before):
        assert np.abs(ours - theirs).max() <= 1e-4 * max(np.abs(theirs).max(), 1e-3)
    assert list(net.state_dict()) == keys
    ppeffconv.accelerate(ppeffconv.accelerate(net), enable=False)
    assert not taken(net)
    assert all(np.array_equal(a, b) for a, b in zip(gradients(net), before))


@pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")
def test_the_kernel_runs(monkeypatch):
    calls, call = [], loader.call
    monkeypatch.setattr(loader, "call", lambda op, *arguments: calls.append(op) or call(op, *arguments))
    net = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.Conv2D(4, 4, 1, bias_attr=False))
    ppeffconv.accelerate(net)(paddle.to_tensor(IMAGES))
    assert calls == ["conv2d_bias", "batch_norm", "conv2d"]


@pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")
def test_in_evaluation_small_convolutions_and_norms_are_paddles(monkeypatch):
    """A call of a kernel takes longer than they do; what is large, or trains, is the kernels'."""
    calls, call = [], loader.call
    monkeypatch.setattr(loader, "call", lambda op, *arguments: calls.append(op) or call(op, *arguments))
    net = nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm2D(8), nn.Conv2D(8, 8, 1), nn.Conv2D(8, 8, 3, groups=8))
    ppeffconv.accelerate(net).eval()
    for size, batch, expected in ((16, 1, []), (64, 1, ["conv2d_bias"] * 2), (16, 64, ["conv2d_bias"] * 3)):
        calls.clear()
        x = paddle.rand([batch, 3, size, size])
        y = net(x)
        assert calls == expected
        ppeffconv.accelerate(net, enable=False)
        np.testing.assert_allclose(y.numpy(), net(x).numpy(), atol=1e-5)
        ppeffconv.accelerate(net)


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"padding": 1}, True),
        ({"padding": [1, 2]}, True),
        ({"padding": [2, 2, 1, 1]}, True),
        ({"padding": [[0, 0], [0, 0], [1, 1], [2, 2]]}, True),
        ({"stride": 2, "dilation": [2, 1], "groups": 3}, True),
        ({"padding": [1, 2, 1, 1]}, False),
        ({"padding": "SAME"}, True),
        ({"padding": "valid", "stride": 2}, True),
        ({"padding": "SAME", "stride": 2}, False),
        ({"padding": "SAME", "dilation": 2}, False),  # of which Paddle takes no notice
        ({"padding": 1, "padding_mode": "reflect"}, False),
    ],
)
def test_layers_that_do_not_fit_stay(arguments, fits):
    layer = nn.Conv2D(3, 6, 3, **arguments)
    x = paddle.to_tensor(IMAGES)
    before = layer(x).numpy()
    ppeffconv.accelerate(layer)
    assert is_accelerated(layer) == fits
    np.testing.assert_allclose(layer(x).numpy(), before, atol=1e-5)


def test_other_forwards_are_left_alone():
    class Doubled(nn.Conv2D):
        def forward(self, x):
            return 2 * super().forward(x)

    class Named(nn.Conv2D):
        """A subclass that only has another name."""

    net = nn.Sequential(Doubled(3, 3, 1), Named(3, 3, 1), nn.Conv2D(3, 3, 1, data_format="NHWC"))
    ppeffconv.accelerate(net)
    assert taken(net) == [net[1]]


def test_a_copy_is_a_network_of_its_own():
    net = ppeffconv.accelerate(nn.Conv2D(3, 4, 3))
    twin = copy.deepcopy(net)
    twin.weight.set_value(paddle.zeros_like(twin.weight))
    x = paddle.to_tensor(IMAGES)
    np.testing.assert_allclose(twin(x).numpy(), np.broadcast_to(twin.bias.numpy()[:, None, None], twin(x).shape))
    assert net(x).numpy().std() > 0


def test_export(tmp_path):
    net = ppeffconv.accelerate(nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.ReLU()))
    net.eval()
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=[paddle.static.InputSpec([None, 3, None, None], "float32")])
    np.testing.assert_allclose(
        paddle.jit.load(str(tmp_path / "net"))(paddle.to_tensor(IMAGES)).numpy(),
        net(paddle.to_tensor(IMAGES)).numpy(),
        atol=1e-5,
    )


def test_what_is_no_layer_is_refused():
    with pytest.raises(ValueError, match="must be a paddle.nn.Layer, got int"):
        ppeffconv.accelerate(3)
