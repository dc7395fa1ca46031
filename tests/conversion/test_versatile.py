"""Versatile filters fitted to dense ones."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision.models import mobilenet_v2, resnet50, vgg11

import ppeffconv
from ppeffconv.layers import VersatileConv2D
from ppeffconv.models import count_parameters

from .networks import check_trains, images, same


def kernel_of(layer, channels, size):
    """The dense kernel [C, c, k, k] of a convolution, by its response to one pixel in one channel at a time."""
    x = np.zeros((channels, channels, 2 * size - 1, 2 * size - 1), "float32")
    x[range(channels), range(channels), size - 1, size - 1] = 1
    response = layer(paddle.to_tensor(x)).numpy()
    if layer.bias is not None:
        response = response - layer.bias.numpy().reshape(1, -1, 1, 1)
    middle = slice(size - 1 - size // 2, size + size // 2)
    return response[:, :, middle, middle][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)


CASES = [
    {"out_channels": 8},
    {"out_channels": 7},
    {"out_channels": 9, "kernel_size": 5, "dilation": 1},
    {"out_channels": 8, "delta": 1},
    {"out_channels": 11, "delta": 2, "g": 1},
    {"out_channels": 8, "delta": 2, "g": 2, "channel_mode": "reference"},
    {"out_channels": 8, "kernel_size": 1, "delta": 1},
]


@pytest.mark.parametrize("case", CASES)
def test_nested_filters_are_found_again(case):
    own = {key: value for key, value in case.items() if key in ("delta", "g", "channel_mode")}
    size = case.get("kernel_size", 3)
    truth = VersatileConv2D(6, case["out_channels"], size, padding=size // 2, **own)
    conv = nn.Conv2D(6, case["out_channels"], size, padding=size // 2)
    conv.weight.set_value(np.ascontiguousarray(kernel_of(truth, 6, size)))
    new = ppeffconv.convert(conv, "versatile", input_shape=(6, 9, 9), **own)
    assert type(new) is VersatileConv2D
    assert new.conversion.layers[0].weights == "exact"
    same(new(images(2, 6, 9, 7)), conv(images(2, 6, 9, 7)))


@pytest.mark.parametrize("case", CASES)
def test_the_share_is_that_of_the_best_fit(case):
    own = {key: value for key, value in case.items() if key in ("delta", "g", "channel_mode")}
    size = case.get("kernel_size", 3)
    conv = nn.Conv2D(6, case["out_channels"], size, padding=size // 2)
    new = ppeffconv.convert(conv, "versatile", input_shape=(6, 9, 9), **own)
    weight = conv.weight.numpy()

    def lost():
        return ((weight - kernel_of(new, 6, size)) ** 2).sum()

    (row,), least = new.conversion.layers, lost()
    assert row.weights == "approximate"
    assert least == pytest.approx((1 - row.share) * (weight**2).sum(), rel=1e-4)
    kept = new.weight.clone()
    for seed in range(5):
        new.weight.set_value(kept + 0.1 * images(*kept.shape, seed=seed))
        assert lost() > least
    assert np.array_equal(new.bias.numpy(), conv.bias.numpy())


def test_what_has_nothing_to_share_stays():
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1),
        nn.Conv2D(8, 8, 1),
        nn.Conv2D(8, 8, 3, padding=1, groups=8),
        nn.Conv2D(8, 8, 2),
        nn.Conv2D(8, 1, 3),
        nn.Conv2D(1, 8, 5, padding=0, stride=(2, 1)),
    )
    report = ppeffconv.convert(net, "versatile", input_shape=(3, 32, 32)).conversion
    assert [row.name for row in report.replaced] == ["0", "5"]  # the first convolution too, as in the papers
    assert "nothing to share: 8 filters of 1x1 (delta=1 shares channels)" in report.kept[0].reason
    assert "depthwise" in report.kept[1].reason
    shared = ppeffconv.convert(net, "versatile", delta=1, input_shape=(3, 32, 32))
    assert [row.name for row in shared.conversion.replaced] == ["0", "1", "3", "5"]
    assert shared[0].delta == 0  # three channels of an image: shared in space only
    check_trains(shared, images(2, 3, 32, 32))


def test_grouped_filters_start_anew():
    conv = nn.Conv2D(8, 16, 3, padding=1, groups=4)
    new = ppeffconv.convert(conv, "versatile", input_shape=(8, 7, 7))
    assert new.conversion.layers[0].weights == "new"
    assert new(images(1, 8, 7, 7)).shape == [1, 16, 7, 7]
    assert np.array_equal(new.bias.numpy(), conv.bias.numpy())


@pytest.mark.parametrize("delta", [0, 1])
def test_resnet50_as_the_paper_has_it(delta):
    new = ppeffconv.convert(resnet50(num_classes=10), "versatile", delta=delta, input_shape=(3, 65, 33))
    twin = ppeffconv.create_model("versatile_resnet50", num_classes=10, delta=delta)
    assert list(new.state_dict()) == list(twin.state_dict())
    assert new.conversion.params[1] == count_parameters(twin)
    assert new.conversion.macs[1] == ppeffconv.profile(twin, (3, 65, 33)).macs < new.conversion.macs[0]


def test_vgg_and_mobilenet():
    report = ppeffconv.convert(vgg11(num_classes=3, with_pool=False), "versatile").conversion
    assert len(report.replaced) == 8
    mobile = ppeffconv.convert(mobilenet_v2(scale=0.25, num_classes=3), "versatile", delta=1, input_shape=(3, 33, 35))
    assert mobile.conversion.params[1] < 0.8 * mobile.conversion.params[0]
    check_trains(mobile, images(2, 3, 33, 35))
