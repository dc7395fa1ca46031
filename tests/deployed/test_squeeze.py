"""Squeeze-and-excitation equals its deploy form: gates of every size, between groups, in blocks."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv import layers
from ppeffconv.deployed import Deployed
from ppeffconv.models.blocks import ConvSlots, SEBottleneck, Variant
from ppeffconv.models.octave_resnet import OctaveSEBlock

from .networks import check, images, need, run, trained

SIZES = ((1, 17, 23), (3, 16, 15), (2, 1, 1))


def spread(net: nn.Layer) -> nn.Layer:
    """With gates of all sizes: weights and biases of the squeezed layers are random."""
    random = np.random.default_rng(5)
    for name, layer in net.named_sublayers(include_self=True):
        if name.rsplit(".", 1)[-1] in ("fc1", "fc2", "fc2_h", "fc2_l"):
            layer.weight.set_value(random.normal(0, 3, layer.weight.shape).astype("float32"))
            layer.bias.set_value(random.normal(0, 2, layer.bias.shape).astype("float32"))
    return net


@pytest.fixture(autouse=True)
def seed():
    paddle.seed(0)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize(("channels", "reduction"), [(64, 16), (13, 4), (24, 1), (2, 1), (6, 2)])
def test_gates(channels, reduction, backend):
    need(backend)
    net = spread(nn.Sequential(nn.Conv2D(6, channels, 1), layers.SqueezeExcitation(channels, reduction)))
    net.eval()
    x = images((2, 6, 5, 7))
    gates = run(net, x) / run(net[0], x)
    assert float(gates.max() - gates.min()) > 0.2
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed, 6, SIZES)


def test_gates_at_the_ends_of_the_sigmoid():
    need("auto")
    net = nn.Sequential(nn.Conv2D(6, 16, 1), layers.SqueezeExcitation(16, 4))
    net[1].fc2.bias.set_value(np.array([-200, -90, -30, -8, 8, 30, 90, 200] * 2, "float32"))
    net.eval()
    check(net, ppeffconv.deploy(net), 6, SIZES)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("alpha", [0.5, 0.25, 0.0])
def test_groups_share_a_hidden_layer(alpha, backend):
    need(backend)
    octave = layers.OctConvBNAct(6, 20, 3, alpha_in=0, alpha_out=alpha, padding=1)
    net = trained(spread(nn.Sequential(octave, layers.OctaveSqueezeExcitation(20, alpha, 4))), 6, (17, 23))
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed, 6, SIZES)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize(("width", "stride"), [(16, 1), (6, 2)])
def test_block(width, stride, backend):
    need(backend)
    block = SEBottleneck(ConvSlots(), width, 4, stride, variant=Variant(squeeze=True))
    net = trained(spread(nn.Sequential(nn.Conv2D(6, width, 1), block, nn.MaxPool2D(1))), 6, (17, 23))
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed, 6, SIZES[:2])


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize(("alphas", "stride"), [((0.0, 0.5), 1), ((0.5, 0.5), 2), ((0.5, 0.0), 2), ((0.0, 0.0), 1)])
def test_octave_block(alphas, stride, backend):
    """From one map to pairs, between pairs, and back; with normalised inputs and without."""
    need(backend)
    first, last = alphas
    convs = [(8, 4, 1, 1, first, last), (4, 4, 3, stride, last, last), (4, 12, 1, 1, last, last)]
    block = OctaveSEBlock(convs, (8, 12, stride, first, last), input_norm=stride == 2)
    net = trained(spread(nn.Sequential(layers.OctConv2D(6, 8, 1, 0, first), block)), 6, (17, 23))
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed, 6, SIZES[:2])


def test_bfloat16():
    need("auto")
    net = spread(nn.Sequential(nn.Conv2D(6, 64, 1), layers.SqueezeExcitation(64, 8)))
    net.eval()
    x = images((2, 6, 9, 11))
    expected, got = run(net, x), run(ppeffconv.deploy(net, dtype="bfloat16"), x)
    assert 1e-5 < float((got - expected).abs().mean() / expected.std()) < 0.02
