"""A convolution of the user's own: registered, it fills the slots of the networks."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.layers import METHODS, build_conv


class Scaled(nn.Layer):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, factor=2.0):
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2D(in_channels, out_channels, kernel_size, stride, padding)

    def forward(self, x):
        return self.factor * self.conv(x)


@pytest.fixture(autouse=True)
def _registered(own_methods):
    METHODS.register("scaled")(Scaled)


def test_it_fills_a_slot():
    layer = build_conv("scaled", 4, 6, 3, stride=2, factor=3.0)
    assert isinstance(layer, Scaled)
    assert layer.factor == 3.0
    assert layer(paddle.ones([1, 4, 7, 5])).shape == [1, 6, 4, 3]


@pytest.mark.parametrize("name", ["scaled_resnet20", "scaled_resnet18", "scaled_vgg16"])
def test_it_fills_networks(name):
    assert name in ppeffconv.list_models("scaled_*")
    small = {"head": "cifar"} if name.endswith("vgg16") else {"width": 8}
    net = ppeffconv.create_model(name, num_classes=3, factor=1.5, **small)
    assert {layer.factor for layer in net.sublayers() if isinstance(layer, Scaled)} == {1.5}
    net.eval()
    assert net(paddle.zeros([1, 3, 32, 32])).shape == [1, 3]


def test_what_it_cannot_do_is_named():
    with pytest.raises(ValueError, match=r"'scaled' takes no groups, and this slot has 2"):
        build_conv("scaled", 4, 6, 3, groups=2)
    with pytest.raises(ValueError, match="has no argument 'alpha'"):
        build_conv("scaled", 4, 6, 3, alpha=1)
    with pytest.raises(ValueError, match="already registered"):
        METHODS.register("plain")(Scaled)
    with pytest.raises(ValueError, match="must take stride, padding, as nn.Conv2D does"):
        METHODS.register("short")(lambda_layer())
    with pytest.raises(ValueError, match=r"must be a class of paddle\.nn\.Layer"):
        METHODS.register("function")(lambda x: x)


def test_what_it_does_not_name_is_no_argument_of_its_own():
    class Open(Scaled):
        def __init__(self, in_channels, out_channels, kernel_size, stride, padding, twice=False, **others):
            super().__init__(in_channels, out_channels, kernel_size, stride, padding)
            self.others = others

    METHODS.register("open")(Open)
    assert METHODS.get("open").own_arguments() == ["twice"]
    assert build_conv("open", 4, 6, 3, dilation=2).others == {"dilation": (2, 2), "groups": 1, "bias_attr": False}
    with pytest.raises(ValueError, match="has no argument 'others'.* It takes: twice"):
        build_conv("open", 4, 6, 3, others=1)


def lambda_layer():
    class Short(nn.Layer):
        def __init__(self, in_channels, out_channels, kernel_size):
            super().__init__()

    return Short


def test_registered_again_it_replaces_itself():
    """As in a notebook, whose cells are run again."""
    METHODS.register("scaled")(Scaled)
    assert METHODS.get("scaled").layer is Scaled
