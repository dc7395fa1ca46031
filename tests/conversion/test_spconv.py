"""SPConv from dense weights."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision.models import resnet50

import ppeffconv
from ppeffconv.layers import SPConv2D
from ppeffconv.models import count_parameters
from tests import oracles

from .networks import check_trains, images


def convert(conv, **kwargs):
    """SPConv in place of a convolution, in evaluation mode."""
    new = ppeffconv.convert(conv, "spconv", input_shape=(conv._in_channels, 8, 8), **kwargs)
    assert type(new) is SPConv2D
    new.eval()
    return new


def fitting(channels_in, channels_out, stride, split, groups):
    """A random weight with nothing in the places that SPConv leaves out: it should be carried whole."""
    weight = oracles.random(channels_out, channels_in, 3, 3)
    kept = np.zeros_like(weight, dtype=bool)
    if stride == 1:
        kept[:, :, 1, 1] = True
    else:
        weight[:, :, 1:, 1:] = weight[:, :, 1:2, 1:2]  # equal over the taps that pooling averages
        kept[:, :, 1:, 1:] = True
    dense = oracles.random(channels_out, channels_in, 3, 3, seed=1)
    for group in range(groups):
        rows = slice(group * channels_out // groups, (group + 1) * channels_out // groups)
        columns = slice(group * split // groups, (group + 1) * split // groups)
        weight[rows, columns], kept[rows, columns] = dense[rows, columns], True
    return np.where(kept, weight, 0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("stride", "size", "ratio", "groups"),
    [(1, (7, 9), 0.5, 2), (1, (5, 5), 0.25, 1), (2, (8, 6), 0.5, 2), (2, (6, 6), 0.75, 3)],
)
def test_a_weight_that_fits_is_carried_whole(stride, size, ratio, groups, bias):
    """Each part is then the dense convolution of its channels, the gates weigh them, and both count double."""
    conv = nn.Conv2D(8, 6, 3, stride=stride, padding=1, bias_attr=None if bias else False)
    split = int(ratio * 8)
    weight = fitting(8, 6, stride, split, groups)
    conv.weight.set_value(weight.astype("float32"))
    new = convert(conv, ratio=ratio, groups=groups)
    assert (new.representative, new.groups) == (split, groups)
    assert new.conversion.layers[0].share == pytest.approx(1, abs=1e-6)
    x = images(2, 8, *size)
    arrays = x.numpy().astype("float64")
    first = oracles.conv2d(arrays[:, :split], weight[:, :split], stride=stride, padding=1)
    second = oracles.conv2d(arrays[:, split:], weight[:, split:], stride=stride, padding=1)
    gate = 1 / (1 + np.exp(-2 * (first - second).mean((2, 3), keepdims=True)))
    shift = conv.bias.numpy().reshape(1, -1, 1, 1) if bias else 0
    np.testing.assert_allclose(new(x).numpy(), 2 * (gate * first + (1 - gate) * second) + shift, atol=1e-4)


def test_exact_where_both_parts_have_the_same_mean():
    conv = nn.Conv2D(8, 6, 3, padding=1)
    conv.weight.set_value(fitting(8, 6, 1, 4, 2).astype("float32"))
    x = np.zeros((2, 8, 9, 7))
    x[:, :, 1:-1, 1:-1] = oracles.random(2, 8, 7, 5)
    x[:, :, 1:-1, 1:-1] -= x[:, :, 1:-1, 1:-1].mean((2, 3), keepdims=True)  # then so has every window sum
    x = paddle.to_tensor(x.astype("float32"))
    np.testing.assert_allclose(convert(conv)(x).numpy(), conv(x).numpy(), atol=1e-4)


def test_dilation():
    conv = nn.Conv2D(8, 6, 3, padding=2, dilation=2, stride=2)
    new = convert(conv)
    assert new.gwc._dilation == [2, 2]
    weight = conv.weight.numpy()
    np.testing.assert_array_equal(new.conv1x1.weight.numpy()[:, :, 0, 0], weight[:, 4:, 1, 1])
    assert new(images(1, 8, 9, 7)).shape == conv(images(1, 8, 9, 7)).shape


@pytest.mark.parametrize("stride", [1, 2])
def test_the_share_is_that_of_the_best_fit(stride):
    """What is lost, ||W - fit||^2, is 1 - share of ||W||^2, and no other weights of SPConv lose less."""
    conv = nn.Conv2D(8, 6, 3, stride=stride, padding=1)
    new = convert(conv)
    weight = conv.weight.numpy()

    def lost():
        spread = np.zeros_like(weight)
        taps = slice(1, 2) if stride == 1 else slice(1, 3)
        pointwise = np.concatenate([new.pwc.weight.numpy(), new.conv1x1.weight.numpy()], 1)
        spread[:, :, taps, taps] = pointwise / stride**2
        for group in range(2):
            rows, columns = slice(3 * group, 3 * group + 3), slice(2 * group, 2 * group + 2)
            spread[rows, columns] += new.gwc.weight.numpy()[rows]
        return ((weight - spread) ** 2).sum()

    least = lost()
    share = new.conversion.layers[0].share
    assert 0.1 < share < 0.9
    assert least == pytest.approx((1 - share) * (weight**2).sum(), rel=1e-4)
    for layer in (new.gwc, new.pwc, new.conv1x1):
        kept = layer.weight.clone()
        for seed in range(3):
            layer.weight.set_value(kept + 0.01 * images(*kept.shape, seed=seed))
            assert lost() > least
        layer.weight.set_value(kept)


def test_training_keeps_the_proportion_of_the_parts():
    """The statistics of a batch normalise each part; the scales, set from the weights, restore its size."""
    conv = nn.Conv2D(8, 6, 3, padding=1)
    weight = conv.weight.numpy()
    weight[:, :4] *= 10
    conv.weight.set_value(weight)
    new = convert(conv)
    ratio = (new.bn1.weight / new.bn2.weight).numpy()
    assert (ratio > 3).all()
    np.testing.assert_allclose((new.bn1.weight / (new.bn1._variance + new.bn1._epsilon).sqrt()).numpy(), 2, rtol=1e-5)


def test_resnet50_as_the_paper_has_it():
    new = ppeffconv.convert(resnet50(num_classes=10), "spconv", ratio=0.5, input_shape=(3, 65, 33))
    twin = ppeffconv.create_model("sp_resnet50", num_classes=10, ratio=0.5)
    assert list(new.state_dict()) == list(twin.state_dict())
    assert new.conversion.params[1] == count_parameters(twin)
    assert new.conversion.macs[1] == ppeffconv.profile(twin, (3, 65, 33)).macs < new.conversion.macs[0]
    check_trains(new, images(1, 3, 65, 33))
