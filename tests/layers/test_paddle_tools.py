"""`paddle.flops` and `paddle.quantization` on layers and networks of ours."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.quant.qat import QuantedConv2D
from paddle.quantization import QAT, QuantConfig
from paddle.quantization.quanters import FakeQuanterWithAbsMaxObserver

import ppeffconv
from ppeffconv import layers
from ppeffconv.layers.paddle_tools import QuantedVersatileConv2D

from .public import WITH_ATTRIBUTES, inputs_of, outputs_of

# how many convolutions each has
QUANTISED = {
    "Conv2D": 1,
    "OctConv2D": 4,
    "OctConvBNAct": 4,
    "TensorOctConv2D": 4,
    "SPConv2D": 3,
    "VersatileConv2D": 1,
    "VersatileConv2D, v2": 1,
    "LearnedVersatileConv2D": 1,
    "DDF2D": 3,
    "GhostConv2D": 2,
    "SampledBasicBlock": 4,
}


def quantiser():
    quanter = FakeQuanterWithAbsMaxObserver(moving_rate=0.9)
    return QAT(QuantConfig(activation=quanter, weight=quanter))


@pytest.mark.parametrize("name", QUANTISED)
def test_quantisation_aware_training_takes_every_convolution(name):
    case = WITH_ATTRIBUTES[name]
    net = nn.Sequential(case.build())
    net.train()
    inputs = inputs_of(case)
    quantised = quantiser().quantize(net)
    taken = [m for m in quantised.sublayers() if isinstance(m, (QuantedConv2D, QuantedVersatileConv2D))]
    assert len(taken) == QUANTISED[name]
    exact, got = outputs_of(net, inputs)[0], outputs_of(quantised, inputs)[0]
    assert not np.array_equal(got.numpy(), exact.numpy())
    assert float((got - exact).abs().mean()) < 0.1 * float(exact.abs().max())
    got.sum().backward()
    assert all(m.weight.grad is not None for m in taken[:1])


# without what happens between the layers, as they see it, these are all multiply-adds
@pytest.mark.parametrize("name", ["resnet20", "oct_resnet20", "sp_resnet20", "versatile_resnet20", "ghost_resnet20"])
def test_flops_are_those_of_the_profile(name, capsys):
    net = ppeffconv.create_model(name, num_classes=3)
    keys = set(net.state_dict())
    counted = ppeffconv.profile(net, (3, 32, 32)).macs
    norms = 2 * sum(  # which Paddle counts too
        int(np.prod(shape)) for shape in shapes_of_norms(net, paddle.randn([1, 3, 32, 32]))
    )
    assert paddle.flops(net, [1, 3, 32, 32]) == pytest.approx(counted + norms, rel=0.02)  # and biases
    assert "Cannot find suitable count function for <class 'ppeffconv.layers.conv" not in capsys.readouterr().out
    assert set(net.state_dict()) == keys
    assert net(paddle.randn([1, 3, 32, 32])).shape == [1, 3]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_flops_count_through_pairs(alpha):
    """The innermost layers take tensors, since `paddle.flops` asks for the shape of what they take."""
    first = layers.OctConv2D(4, 8, 3, alpha_in=0, alpha_out=alpha, padding=1)
    net = nn.Sequential(first, layers.OctaveAvgPool2D(), layers.OctaveMerge())
    expected, keys = ppeffconv.profile(net, (4, 8, 8)).macs, set(net.state_dict())
    assert paddle.flops(net, [1, 4, 8, 8]) == expected
    assert set(net.state_dict()) == keys
    assert {name for name, _ in net.named_buffers()} == set()


def test_multiply_adds_of_deployed_networks_are_counted():
    net = nn.Sequential(layers.SPConv2D(4, 8), nn.ReLU(), layers.Conv2D(8, 6, 3, bias_attr=True))
    net.eval()
    expected = ppeffconv.profile(net, (4, 8, 8)).macs
    deployed = ppeffconv.deploy(net)
    assert ppeffconv.profile(deployed, (2, 4, 8, 8)).macs == expected
    around = nn.Sequential(deployed)  # `paddle.flops` looks at sublayers alone
    keys = set(around.state_dict())
    assert paddle.flops(around, [1, 4, 8, 8]) == expected
    assert set(around.state_dict()) == keys


def test_flops_see_accelerated_networks():
    net = nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm2D(8), nn.ReLU())
    expected = paddle.flops(net, [1, 3, 8, 8])
    keys = set(net.state_dict())
    assert paddle.flops(ppeffconv.accelerate(net), [1, 3, 8, 8]) == expected > 0
    assert set(net.state_dict()) == keys


def shapes_of_norms(net, x):
    shapes = []
    hooks = [
        m.register_forward_post_hook(lambda _, inputs, y: shapes.append(inputs[0].shape))
        for m in net.sublayers()
        if isinstance(m, nn.BatchNorm2D)
    ]
    net.eval()
    net(x)
    for hook in hooks:
        hook.remove()
    return shapes
