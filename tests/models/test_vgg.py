"""VGG-16 with both heads and every method."""

from __future__ import annotations

import paddle
import pytest

import ppeffconv
from ppeffconv.layers import VersatileConv2D


@pytest.mark.parametrize("name", [n for n in ppeffconv.list_models("*vgg16") if n != "vgg16"] + ["vgg16"])
def test_cifar_head_on_an_odd_size(name):
    net = ppeffconv.create_model(name, num_classes=3, in_channels=1, head="cifar")
    net.eval()
    with paddle.no_grad():
        assert net(paddle.randn([1, 1, 33, 31])).shape == [1, 3]


def test_versatile_turns_the_first_fully_connected_layer_into_a_convolution():
    net = ppeffconv.create_model("versatile_vgg16", num_classes=3)
    converted = [layer for layer in net.sublayers() if isinstance(layer, VersatileConv2D)]
    assert len(converted) == 14
    assert converted[-1].weight.shape == [1024, 512, 7, 7]


def test_unknown_head():
    for name in ("vgg16", "oct_vgg16"):
        with pytest.raises(ValueError, match="head must be 'imagenet' or 'cifar'"):
            ppeffconv.create_model(name, head="mnist")
