"""DDF in the place of dense convolutions: new weights, and a 1x1 convolution where one is needed."""

from __future__ import annotations

import numpy as np
import pytest
from paddle import nn
from paddle.vision.models import resnet18, resnet50

import ppeffconv
from ppeffconv.layers import DDF2D, DDFSeparable2D
from ppeffconv.models import count_parameters

from .networks import Toy, check_trains, images


def bottleneck(**kwargs):
    return nn.Sequential(nn.Conv2D(8, 8, 1), nn.ReLU(), nn.Conv2D(8, 8, 3, padding=1, **kwargs), nn.ReLU())


@pytest.mark.parametrize(
    ("make", "arguments", "expected"),
    [
        (lambda: bottleneck(bias_attr=False), {}, DDF2D),
        (lambda: bottleneck(bias_attr=False, stride=2), {}, DDF2D),
        (lambda: bottleneck(bias_attr=False), {"separable": True}, DDFSeparable2D),
        (lambda: bottleneck(), {}, DDFSeparable2D),
        (lambda: bottleneck(bias_attr=False)[1:], {}, DDFSeparable2D),
        (lambda: bottleneck(bias_attr=False)[1:], {"separable": False}, DDF2D),
    ],
)
def test_a_pointwise_convolution_follows_where_none_stands_beside(make, arguments, expected):
    net = make()
    new = ppeffconv.convert(net, "ddf", input_shape=(8, 9, 7), **arguments)
    (row,) = new.conversion.replaced
    assert (row.became, row.weights) == (expected.__name__, "new")
    assert new(images(2, 8, 9, 7)).shape == net(images(2, 8, 9, 7)).shape
    check_trains(new, images(2, 8, 9, 7))


def test_the_bias_is_carried():
    net = bottleneck()
    new = ppeffconv.convert(net, "ddf", input_shape=(8, 9, 7))
    assert np.array_equal(new[2][1].bias.numpy(), net[2].bias.numpy())


def test_reasons():
    report = ppeffconv.convert(Toy(), "ddf", input_shape=(3, 17, 15)).conversion
    assert [row.name for row in report.replaced] == ["body.0", "stages.0", "stages.1"]
    assert "channels of an image" in report.kept[0].reason
    assert "same kernel_size on both axes" in report.kept[1].reason
    with pytest.raises(ValueError, match="body.0 and 1 more: has no bias of its own.*cannot change the width"):
        ppeffconv.convert(Toy(), "ddf", separable=False)
    with pytest.raises(ValueError, match="heads must divide channels"):
        ppeffconv.convert(nn.Conv2D(8, 8, 3, padding=1), "ddf", heads=3)
    assert (
        ppeffconv.convert(bottleneck(bias_attr=False), "ddf", heads=4, mode="add", input_shape=(8, 9, 9))[2].heads == 4
    )


@pytest.mark.parametrize(("make", "name"), [(resnet50, "ddf_resnet50"), (resnet18, "ddf_resnet18")])
def test_resnets_as_our_models_have_them(make, name):
    new = ppeffconv.convert(make(num_classes=10), "ddf", input_shape=(3, 65, 33))
    twin = ppeffconv.create_model(name, num_classes=10)
    assert list(new.state_dict()) == list(twin.state_dict())
    assert new.conversion.params[1] == count_parameters(twin)
    assert new.conversion.macs[1] == ppeffconv.profile(twin, (3, 65, 33)).macs < new.conversion.macs[0]
