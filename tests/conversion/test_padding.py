"""Convolutions with every padding that Paddle can spell, by every method; and what parameters were told besides."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.regularizer import L2Decay
from paddle.vision.models.resnet import BasicBlock

import ppeffconv
from ppeffconv.layers import VersatileConv2D

from .networks import check_trains, images, same
from .test_versatile import kernel_of

SPELLINGS = ["same", "SAME", "VALID", 1, (1, 1), [0, 1, 1, 2], [1, 1, 1, 1], [[0, 0], [0, 0], [1, 0], [0, 2]]]
METHODS = ["octconv", "spconv", "versatile", "ddf"]


@pytest.mark.parametrize("padding", SPELLINGS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_sizes_are_paddles(method, stride, padding):
    conv = nn.Conv2D(8, 8, 3, stride=stride, padding=padding)
    new = ppeffconv.convert(conv, method, input_shape=(8, 9, 9))
    assert len(new.conversion.replaced) == 1
    for size in ((8, 9), (9, 8), (11, 11)):
        assert new(images(1, 8, *size)).shape == conv(images(1, 8, *size)).shape
    check_trains(new, images(2, 8, 9, 8))


@pytest.mark.parametrize("padding", SPELLINGS)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_windows_are_paddles(kernel, stride, padding):
    """Filters that are nested already are carried exactly, so that every output tells where its window lies."""
    truth = VersatileConv2D(6, 8, kernel, padding=kernel // 2)
    conv = nn.Conv2D(6, 8, kernel, stride=stride, padding=padding)
    conv.weight.set_value(np.ascontiguousarray(kernel_of(truth, 6, kernel)))
    new = ppeffconv.convert(conv, "versatile", input_shape=(6, 9, 9))
    assert new.conversion.layers[0].weights == "exact"
    for size in ((8, 9), (9, 8)):
        same(new(images(2, 6, *size)), conv(images(2, 6, *size)))


def test_sampling_with_same():
    block = BasicBlock(8, 8)
    net = nn.Sequential(block)
    for name in ("conv1", "conv2"):
        setattr(block, name, nn.Conv2D(8, 8, 3, padding="SAME", bias_attr=False))
    net.eval()
    new = ppeffconv.convert(net, "sampling", grid_stride=1, input_shape=(8, 9, 9))
    assert len(new.conversion.replaced) == 1
    same(new(images(1, 8, 9, 8)), net(images(1, 8, 9, 8)), 1e-6)


def test_a_dilation_of_which_paddle_takes_no_notice():
    conv = nn.Conv2D(8, 8, 3, padding="SAME", dilation=2)
    new = ppeffconv.convert(conv, "spconv", input_shape=(8, 9, 9))
    assert new(images(1, 8, 9, 8)).shape == conv(images(1, 8, 9, 8)).shape
    assert new.layer.gwc._dilation == [1, 1]


def told(**facts) -> nn.Conv2D:
    """A convolution whose weight and bias were told to train in a way of their own."""
    return nn.Conv2D(
        8,
        8,
        3,
        padding=1,
        weight_attr=paddle.ParamAttr(learning_rate=0.1, regularizer=L2Decay(0.25), need_clip=False, **facts),
        bias_attr=paddle.ParamAttr(learning_rate=2.0, regularizer=L2Decay(0.5), **facts),
    )


@pytest.mark.parametrize("method", METHODS)
def test_parameters_keep_what_they_were_told(method):
    new = ppeffconv.convert(nn.Sequential(told(), nn.Conv2D(8, 8, 1)), method, input_shape=(8, 9, 9))
    for name, parameter in new[0].named_parameters():
        if name.endswith(("_mean", "_variance")):
            continue
        is_bias = name.endswith("bias")
        assert parameter.optimize_attr["learning_rate"] == (2.0 if is_bias else 0.1), name
        assert parameter.need_clip == is_bias
        assert parameter.regularizer._coeff == (0.5 if is_bias else 0.25)
        assert parameter.trainable


def test_pairs_and_copies_keep_it_too():
    net = ppeffconv.create_model("resnet20", num_classes=3)
    net.layer1[0].conv1.weight.optimize_attr["learning_rate"] = 0.1
    net.layer1[0].bn1.weight.regularizer = L2Decay(0.25)
    net.layer1[0].conv2.weight.stop_gradient = True
    net.fc.weight.optimize_attr["learning_rate"] = 3.0
    for method in ("octconv", "sampling"):
        new = ppeffconv.convert(net, method, input_shape=(3, 16, 16))
        assert new.fc.weight.optimize_attr["learning_rate"] == 3.0
        block = new.layer1[0]
        rates = {n: p.optimize_attr["learning_rate"] for n, p in block.conv1.named_parameters() if "bn" not in n}
        assert set(rates.values()) == {0.1}
        assert all(p.stop_gradient for n, p in block.conv2.named_parameters() if "bn" not in n)
        norms = [p for n, p in block.named_parameters() if n.startswith(("conv1.bn", "bn1")) and n.endswith("weight")]
        assert {p.regularizer._coeff for p in norms} == {0.25}


def test_frozen_layers_stay_so_unless_their_weights_are_new():
    net = nn.Sequential(told(trainable=False), nn.Conv2D(8, 8, 1))
    new = ppeffconv.convert(net, "spconv", input_shape=(8, 9, 9))
    assert all(parameter.stop_gradient for parameter in new[0].parameters())
    new = ppeffconv.convert(net, "ddf", input_shape=(8, 9, 9))
    frozen = [name for name, parameter in new[0].named_parameters() if parameter.stop_gradient]
    assert all(name.endswith(("_mean", "_variance")) for name in frozen)
    assert "frozen before, and trained now because their weights are new: 0" in " ".join(str(new.conversion).split())


def test_a_shape_in_other_numbers():
    for shape in ((8, 9.0, 9), (8, 9), (8, 0, 9)):
        with pytest.raises(ValueError, match=r"convert: input_shape must be \(C, H, W\), each an integer >= 1, got"):
            ppeffconv.convert(nn.Conv2D(8, 8, 3, padding=1), "spconv", input_shape=shape)


def test_out_of_data_parallel():
    net = nn.Sequential(nn.Conv2D(8, 8, 3, padding=1), nn.ReLU())
    new = ppeffconv.convert(paddle.DataParallel(net), "spconv", input_shape=(8, 9, 9))
    assert type(new) is nn.Sequential
