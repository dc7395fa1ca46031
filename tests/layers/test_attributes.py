"""What every layer takes: numbers of NumPy, a stride for each direction, and attributes of its weights."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import ParamAttr, nn

import ppeffconv
from ppeffconv import layers
from ppeffconv.layers.arguments import weights_of
from ppeffconv.models import FPN

from .public import WITH_ATTRIBUTES, inputs_of, outputs_of

NUMBER = np.int64
WITH_NUMBERS = {
    "Conv2D": lambda i: layers.Conv2D(i(8), i(8), i(3), (i(1), i(1)), i(1), i(1), i(2)),
    "OctConv2D": lambda i: layers.OctConv2D(i(8), i(8), i(3), stride=i(2), padding=i(1), groups=i(2)),
    "OctConv3D": lambda i: layers.OctConv3D(i(8), i(8), (i(3),) * 3, stride=i(2)),
    "SPConv2D": lambda i: layers.SPConv2D(i(8), i(8), stride=i(2), groups=i(2)),
    "VersatileConv2D": lambda i: layers.VersatileConv2D(i(8), i(8), i(3), padding=i(1), delta=i(1), g=i(1)),
    "LearnedVersatileConv2D": lambda i: layers.LearnedVersatileConv2D(i(8), i(8), i(3), s=i(2)),
    "DDF2D": lambda i: layers.DDF2D(i(8), i(3), i(2), i(1), i(2), np.float32(0.25)),
    "DDFUpsample2D": lambda i: layers.DDFUpsample2D(i(8), i(2)),
    "CARAFEUpsample2D": lambda i: layers.CARAFEUpsample2D(i(8), scale=i(2), compressed_channels=i(4)),
    "ReLUGatedConv2D": lambda i: layers.ReLUGatedConv2D(i(8), i(8), i(3), i(2), i(1)),
    "GhostConv2D": lambda i: layers.GhostConv2D(i(8), i(8), i(3), i(2), i(1), ratio=i(2)),
    "HetConv2D": lambda i: layers.HetConv2D(i(8), i(8), padding=i(1), p=i(4)),
    "SqueezeExcitation": lambda i: layers.SqueezeExcitation(i(8), i(4)),
    "SampledBasicBlock": lambda i: layers.SampledBasicBlock(i(8), i(8), stride=i(2), window=i(3), grid_stride=i(2)),
    "FilterNorm": lambda i: layers.FilterNorm(i(8), i(3), "channel"),
    "FPN": lambda i: FPN([i(8), i(8)], (i(4), i(8)), i(8)),
    "create_model": lambda i: ppeffconv.create_model("oct_resnet20", num_classes=i(3), width=i(8), in_channels=i(3)),
}
BOTH_WAYS = {
    "OctConv2D": lambda stride: layers.OctConv2D(8, 8, 3, padding=1, stride=stride),
    "OctConv3D": lambda stride: layers.OctConv3D(8, 8, (3, 3, 3), stride=stride),
    "SPConv2D": lambda stride: layers.SPConv2D(8, 8, stride=stride),
    "DDF2D": lambda stride: layers.DDF2D(8, stride=stride),
    "DDFSeparable2D": lambda stride: layers.DDFSeparable2D(8, 8, stride=stride),
    "SampledBasicBlock": lambda stride: layers.SampledBasicBlock(8, 8, stride=stride),
    "DeformableSampledBottleneck": lambda stride: layers.DeformableSampledBottleneck(8, 4, stride=stride),
}


def described(net):
    return [(name, parameter.shape) for name, parameter in net.named_parameters()], str(net)


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_numbers_of_numpy(name):
    assert described(WITH_NUMBERS[name](NUMBER)) == described(WITH_NUMBERS[name](int))


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_a_stride_for_each_direction(name):
    assert described(BOTH_WAYS[name]((2, 2))) == described(BOTH_WAYS[name](2))
    with pytest.raises(ValueError, match=r"stride must be .* got \(1, 2\)"):
        BOTH_WAYS[name]((1, 2))


@pytest.mark.parametrize("name", WITH_ATTRIBUTES)
def test_attributes_reach_the_weights_and_nothing_else(name):
    case = WITH_ATTRIBUTES[name]
    paddle.seed(7)
    plain = case.build()
    paddle.seed(7)
    attr = ParamAttr(initializer=nn.initializer.Constant(0.25), learning_rate=0.5, trainable=False)
    layer = case.build(weight_attr=attr)
    weights = {id(weight) for weight in weights_of(layer)}
    assert weights
    for (key, own), (_, usual) in zip(layer.named_parameters(), plain.named_parameters(), strict=True):
        if id(own) in weights:
            assert own.optimize_attr["learning_rate"] == 0.5
            assert own.stop_gradient
            assert bool((own == 0.25).all())
            assert not any(word in key for word in ("mask", "gate", "collaborative", "offset"))
        else:
            assert own.shape == usual.shape
            assert own.optimize_attr["learning_rate"] == 1.0
            assert own.stop_gradient == usual.stop_gradient
    assert outputs_of(layer, inputs_of(case))


def test_an_attribute_without_initializer_leaves_the_usual_one():
    paddle.seed(7)
    plain = layers.SPConv2D(8, 8)
    paddle.seed(7)
    layer = layers.SPConv2D(8, 8, weight_attr=ParamAttr(name="sp", need_clip=False))
    assert bool((layer.pwc.weight == plain.pwc.weight).all())
    assert len({weight.name for weight in weights_of(layer)}) == 3
    assert all(weight.name.startswith("sp_") and not weight.need_clip for weight in weights_of(layer))


@pytest.mark.parametrize("wrong", [False, "he", 0.1])
def test_what_is_no_attribute(wrong):
    with pytest.raises(ValueError, match="VersatileConv2D: weight_attr must be"):
        layers.VersatileConv2D(8, 8, 3, weight_attr=wrong)
