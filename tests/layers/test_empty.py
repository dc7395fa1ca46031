"""A batch without a sample, as the last one of a detector's proposals may be, passes where it passes in Paddle."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

import ppeffconv

from .public import LAYERS, inputs_of, outputs_of


def without_samples(x):
    if isinstance(x, tuple):
        return tuple(map(without_samples, x))
    empty = paddle.zeros([0, *x.shape[1:]])
    empty.stop_gradient = False
    return empty


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, training):
    layer, full = LAYERS[name].build(), inputs_of(LAYERS[name])
    layer.train() if training else layer.eval()
    expected = [[0, *y.shape[1:]] for y in outputs_of(layer, full)]
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    outputs = outputs_of(layer, list(map(without_samples, full)))
    assert [y.shape for y in outputs] == expected
    sum(y.sum() for y in outputs).backward()
    assert all(bool((value == before[key]).all()) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("name", ["resnet20", "oct_resnet20", "sp_resnet20", "sampled_resnet20"])
def test_networks(name):
    net = ppeffconv.create_model(name, num_classes=3)
    net.eval()
    assert net(paddle.zeros([0, 3, 16, 16])).shape == [0, 3]


def test_accelerated_layers_and_those_traced_in_pieces():
    """`to_static` in its default mode too, which reads the layers' bytecode."""
    net = nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm2D(8), nn.ReLU(), nn.AdaptiveAvgPool2D(1), nn.Flatten())
    x, empty = paddle.randn([2, 3, 8, 8]), paddle.zeros([0, 3, 8, 8])
    for mode in (net.train, net.eval):
        mode()
        expected = net(x)
        ppeffconv.accelerate(net)
        assert net(empty).shape == [0, 8]
        assert float((paddle.jit.to_static(net)(x) - expected).abs().max()) < 1e-5
        ppeffconv.accelerate(net, enable=False)
