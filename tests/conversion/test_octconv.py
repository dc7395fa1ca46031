"""OctConv from dense weights: drop-ins, and pairs through ResNets."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision.models import ResNet as VisionResNet
from paddle.vision.models import mobilenet_v1, mobilenet_v2, resnet18, vgg11
from paddle.vision.models.resnet import BottleneckBlock

import ppeffconv
from ppeffconv.conversion.octave_weights import channel_order, fill_octconv
from ppeffconv.layers import OctaveMerge, OctConv2D, TensorOctConv2D, octave_merge
from ppeffconv.models import OctaveResNet
from ppeffconv.models.octave_resnet import OctaveBlock
from tests import oracles

from .networks import Toy, blocky, check_trains, images, only_centres, randomise, same


def drop_in(conv, alpha, **kwargs):
    shape = (conv._in_channels, 8, 8)
    new = ppeffconv.convert(conv, "octconv", alpha=alpha, input_shape=shape, **kwargs)
    assert type(new) is TensorOctConv2D
    return new


@pytest.mark.parametrize("arguments", [{}, {"dilation": 2, "padding": 2}, {"bias_attr": False}])
def test_without_low_channels_it_is_the_dense_convolution(arguments):
    conv = nn.Conv2D(6, 7, 3, **{"padding": 1, **arguments})
    new = drop_in(conv, 0)
    assert new.conversion.layers[0].weights == "exact"
    same(new(images(2, 6, 9, 7)), conv(images(2, 6, 9, 7)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(9, 7), (6, 8), (1, 1)])
@pytest.mark.parametrize(("alpha", "kernel"), [(0.5, 3), (0.25, 5), (0.4, 1)])
def test_a_drop_in_is_the_octave_convolution_of_the_split_input(alpha, kernel, stride, size):
    conv = nn.Conv2D(8, 5, kernel, stride=stride, padding=kernel // 2)
    new = drop_in(conv, alpha, pointwise=True)
    assert new.conversion.layers[0].weights == "approximate"
    x, b = (array.numpy().astype("float64") for array in (images(2, 8, *size), conv.bias))
    (c, _), (o, _) = new.conv.in_split, new.conv.out_split
    blocks = {name: path.weight.numpy().astype("float64") for name, path in new.conv.named_children()}
    rows = [[blocks["conv_h2h"], blocks["conv_l2h"]], [blocks["conv_h2l"], blocks["conv_l2l"]]]
    w = np.concatenate([np.concatenate(row, 1) for row in rows])
    assert kernel > 1 or np.array_equal(w.astype("float32"), conv.weight.numpy())
    pool, pad = oracles.average_pool2, kernel // 2
    high, low = x[:, :c], pool(x[:, c:])
    if stride == 2:
        high, low, pooled, low_out = pool(high), low, pool(pool(high)), pool(low)
        from_low = oracles.conv2d(low, w[:o, c:], padding=pad)
    else:
        pooled, low_out = pool(high), low
        from_low = oracles.upsample2(oracles.conv2d(low, w[:o, c:], padding=pad), *size)
    y_high = oracles.conv2d(high, w[:o, :c], padding=pad) + from_low
    y_low = oracles.conv2d(pooled, w[o:, :c], padding=pad) + oracles.conv2d(low_out, w[o:, c:], padding=pad)
    y = np.concatenate([y_high, oracles.upsample2(y_low, *y_high.shape[2:])], 1) + b.reshape(1, -1, 1, 1)
    got = new(paddle.to_tensor(x.astype("float32"))).numpy()
    np.testing.assert_allclose(got, y, atol=1e-5)


@pytest.mark.parametrize(("kernel", "alpha"), [(1, 0.5), (3, 0.5), (3, 0.25), (5, 0.5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_drop_in_is_the_dense_convolution_seen_from_half_the_size(kernel, alpha, stride):
    """On features that are constant over blocks, low outputs are the pooled dense ones, and so is what the low inputs
    add to the high outputs; all else is the dense convolution itself."""
    conv = nn.Conv2D(8, 8, kernel, stride=stride, padding=kernel // 2)
    new = drop_in(conv, alpha, pointwise=True)
    x = blocky(2, 8, 16, 24, block=2 * stride)
    (c, _), (o, _) = new.conv.in_split, new.conv.out_split
    low_only = x.clone()
    low_only[:, :c] = 0
    dense, from_low = (conv(images).numpy() - conv.bias.numpy().reshape(1, -1, 1, 1) for images in (x, low_only))

    def blurred(y):
        return oracles.upsample2(oracles.average_pool2(y), *y.shape[2:])

    high = dense[:, :o] if stride == 2 else dense[:, :o] - from_low[:, :o] + blurred(from_low[:, :o])
    y = np.concatenate([high, blurred(dense[:, o:])], 1) + conv.bias.numpy().reshape(1, -1, 1, 1)
    np.testing.assert_allclose(new(x).numpy(), y, atol=1e-5)


def test_a_drop_in_can_be_exported(tmp_path):
    net = nn.Sequential(nn.Conv2D(8, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2D(8, 6, 3, padding=1))
    new = ppeffconv.convert(net, "octconv", input_shape=(8, 9, 7))
    new.eval()
    spec = paddle.static.InputSpec([None, 8, 9, 7], "float32")
    paddle.jit.save(new, str(tmp_path / "net"), input_spec=[spec])
    same(paddle.jit.load(str(tmp_path / "net"))(images(2, 8, 9, 7)), new(images(2, 8, 9, 7)))


def test_which_convolutions_a_drop_in_takes():
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1),
        nn.Conv2D(8, 8, 1),
        nn.Conv2D(8, 8, 3, padding=1, groups=8),
        nn.Conv2D(8, 8, 3, padding=0),
        nn.Conv2D(8, 8, 3, padding=1, stride=(1, 2)),
        nn.Conv2D(8, 8, 3, padding=1, stride=3),
        nn.Conv2D(8, 8, 3, padding=1),
    )
    report = ppeffconv.convert(net, "octconv", input_shape=(3, 32, 32)).conversion
    assert [row.name for row in report.replaced] == ["6"]
    expected = ["channels of an image", "pointwise=True", "groups must be 1, got 8", "keeps the size", "same stride"]
    expected += ["stride must be 1 or 2"]
    assert all(part in row.reason for part, row in zip(expected, report.kept, strict=True))
    with pytest.raises(ValueError, match="no low channel at alpha=0.1 of 8 -> 8"):
        ppeffconv.convert(net, "octconv", alpha=0.1)
    for alpha in (1, 1.5, -0.1):
        with pytest.raises(ValueError, match="alpha in"):
            ppeffconv.convert(net, "octconv", alpha=alpha)


def test_drop_ins_in_networks():
    toy = ppeffconv.convert(Toy(), "octconv", input_shape=(3, 17, 15))
    check_trains(toy, images(2, 3, 17, 15))
    assert "TensorOctConv2D (3) pools, upsamples and merges for itself" in str(toy.conversion)
    report = ppeffconv.convert(vgg11(num_classes=3), "octconv", input_shape=(3, 32, 32)).conversion
    assert (len(report.replaced), report.params[0]) == (7, report.params[1])
    assert report.macs[1] < report.macs[0]
    mobile = ppeffconv.convert(
        mobilenet_v2(scale=0.25, num_classes=3), "octconv", pointwise=True, input_shape=(3, 33, 35)
    )
    check_trains(mobile, images(2, 3, 33, 35))
    assert mobile.conversion.macs[1] < 0.7 * mobile.conversion.macs[0]


@pytest.mark.parametrize("alpha", [0.25, 0.5])
def test_our_resnet_becomes_our_octave_resnet(alpha):
    net = randomise(ppeffconv.create_model("resnet20", num_classes=4))
    new = ppeffconv.convert(net, "octconv", alpha=alpha, input_shape=(3, 31, 33))
    assert type(new) is OctaveResNet
    twin = ppeffconv.create_model("oct_resnet20", num_classes=4, alpha=alpha)
    assert list(twin.state_dict()) == list(new.state_dict())
    twin.set_state_dict(new.state_dict())
    new.eval()
    twin.eval()
    same(new(images(1, 3, 31, 33)), twin(images(1, 3, 31, 33)))
    assert ppeffconv.profile(twin, (3, 31, 33)).macs == new.conversion.macs[1]


def test_a_dilated_resnet_stays_dilated():
    net = randomise(ppeffconv.create_model("resnet18", num_classes=3, width=8, output_stride=8))
    new = ppeffconv.convert(net, "octconv", alpha=0, input_shape=(3, 33, 41))
    assert type(new) is OctaveResNet
    paths = [conv.conv.conv_h2h for conv in (new.layer4[0].conv1, new.layer4[0].conv2, new.layer4[1].conv1)]
    assert [path._dilation[0] for path in paths] == [2, 4, 4]
    x = images(1, 32, 9, 7)  # the last stage has no stride left, and without low groups is the dense one
    for layer in (net, new):
        layer.eval()
    same(new.layer4(x)[0], net.layer4(x), 1e-4)


def test_feature_maps_are_tensors_of_the_same_sizes():
    net = ppeffconv.create_model("resnet18", features_only=True, out_indices=(2, 4))
    new = ppeffconv.convert(net, "octconv", input_shape=(3, 65, 33))
    x = images(1, 3, 65, 33)
    assert [y.shape for y in new(x)] == [y.shape for y in net(x)]


def vision_of_blocks(block, **kwargs):
    """A ResNet of paddle.vision with two blocks in each stage."""
    net = VisionResNet(block, 50, num_classes=3, **kwargs)
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        setattr(net, stage, nn.Sequential(*list(getattr(net, stage))[:2]))
    return net


@pytest.mark.parametrize(
    ("make", "input_shape", "block"),
    [
        (lambda: ppeffconv.create_model("resnet20", num_classes=3), (3, 16, 24), 8),
        (lambda: ppeffconv.create_model("resnet50", num_classes=3), (3, 64, 128), 64),
        (lambda: resnet18(num_classes=3), (3, 64, 128), 64),
        (lambda: resnet18(num_classes=0, with_pool=False), (3, 64, 128), 64),
        (lambda: vision_of_blocks(BottleneckBlock, groups=32, width=4), (3, 64, 128), 64),
        (lambda: vision_of_blocks(BottleneckBlock, groups=64, width=1), (3, 64, 128), 64),  # depthwise in layer1
        (lambda: vision_of_blocks(BottleneckBlock, width=96), (3, 64, 128), 64),
    ],
    ids=["cifar", "ours", "vision", "backbone", "resnext", "depthwise", "wide"],
)
def test_exact_where_pooling_loses_nothing(make, input_shape, block):
    """Without mixing of positions, and on images whose pixels are equal in blocks, every carried weight shows."""
    net = randomise(only_centres(make()))
    net.maxpool = nn.MaxPool2D(1, 2) if net.maxpool is not None else None
    new = ppeffconv.convert(net, "octconv", alpha=0.5, input_shape=input_shape)
    net.eval()
    new.eval()
    x = blocky(2, *input_shape, block=block)
    y = net(x)
    assert y.numpy().std(axis=0).max() > 1e-3  # the images differ
    same(new(x), y, 1e-4)
    assert len(new.conversion.kept) == 1


def test_the_identity_shortcut_becomes_an_identity_projection():
    net = ppeffconv.create_model("resnet20", num_classes=3)
    new = ppeffconv.convert(net, "octconv", input_shape=(3, 16, 16))
    project = new.layer1[0].downsample[0]
    project.eval()
    x = blocky(1, 16, 6, 4, block=2)
    same(octave_merge(project(x)), x)


@pytest.mark.parametrize("alpha", [0.5, 0.25])
def test_grouped_channels_stay_connected(alpha):
    """Each output of a grouped octave convolution reads what the dense one reads, in another order of channels."""
    width, groups = 16, 4
    weight = images(width, width // groups, 3, 3)
    # of a dilated convolution the blocks are copied as they are
    conv = OctConv2D(width, width, 3, alpha, alpha, padding=2, dilation=2, groups=groups)
    high, low = conv.out_split
    order = channel_order(width, groups, high)
    fill_octconv(conv, weight.index_select(order))
    x = images(1, width, 6, 6)
    for kept in (slice(0, high), slice(high, None)):
        part = order.numpy()[kept]
        pair = [paddle.zeros([1, high, 6, 6]), paddle.zeros([1, low, 3, 3])]
        which = 0 if kept.start == 0 else 1
        full = np.zeros([1, width, 6, 6]) if which == 0 else np.zeros([1, width, 3, 3])
        size = full.shape[2]
        full[:, part] = x.numpy()[:, part, :size, :size]
        pair[which] = paddle.to_tensor(full[:, part].astype("float32"))
        expected = oracles.conv2d(full, weight.numpy().astype("float64"), padding=2, dilation=2, groups=groups)[:, part]
        np.testing.assert_allclose(conv(tuple(pair))[which].numpy(), expected, atol=1e-5)


def test_in_a_network_of_the_user():
    class Detector(nn.Layer):
        def __init__(self):
            super().__init__()
            self.backbone = resnet18(num_classes=0, with_pool=False)
            self.neck = nn.Conv2D(512, 8, 3, padding=1)

        def forward(self, x):
            return self.neck(self.backbone(x))

    new = ppeffconv.convert(Detector(), "octconv", input_shape=(3, 33, 65))
    assert type(new.backbone.layer1[0]) is OctaveBlock
    assert type(new.backbone.layer4[-1]) is OctaveMerge
    assert type(new.neck) is TensorOctConv2D
    rows = {row.name: row for row in new.conversion.layers}
    assert rows["backbone.layer2.0.downsample.0"].became == "OctConv2D 32 + 32 -> 64 + 64"
    check_trains(new, images(2, 3, 33, 65))


def untouched_pairs(net, **kwargs):
    new = ppeffconv.convert(net, "octconv", input_shape=(3, 33, 33), **kwargs)
    assert not any(isinstance(layer, OctaveBlock) for layer in new.sublayers())
    assert any(isinstance(layer, TensorOctConv2D) for layer in new.sublayers())
    return "\n".join(new.conversion.notes)


def resnet20():
    return ppeffconv.create_model("resnet20", num_classes=3)


def test_where_pairs_cannot_flow_each_convolution_is_a_drop_in():
    assert "no pairs" not in untouched_pairs(resnet20(), pairs=False)
    reason = "no pairs flow through ResNet: layer1.1: layer1.1.conv2 excluded"
    assert reason in untouched_pairs(resnet20(), exclude="layer1.1.conv2")
    net = resnet20()
    net.layer2[0].register_forward_post_hook(lambda layer, inputs, output: None)
    assert "layer2.0: has hooks" in untouched_pairs(net)
    net = resnet20()
    net.layer1[0].bn2 = nn.GroupNorm(4, 16)
    assert "its norm is a GroupNorm, expected a BatchNorm2D" in untouched_pairs(net)
    net = resnet20()
    net.layer3[0].conv1 = nn.Conv2D(32, 64, 3, stride=2, padding=1)
    assert "conv1 is not the 3x3 convolution without bias" in untouched_pairs(net)
    net = resnet18(num_classes=3)
    net.layer1[0].relu = nn.GELU()
    assert "its activation is GELU, not ReLU" in untouched_pairs(net)
    grouped = vision_of_blocks(BottleneckBlock, groups=32, width=4)
    assert "must divide each group's width" in untouched_pairs(grouped, alpha=0.125, pointwise=True)


def test_why_a_resnext_cannot_be_converted():
    grouped = vision_of_blocks(BottleneckBlock, groups=32, width=4)
    reason = "replace nothing in ResNet.*no pairs flow through ResNet: layer1.0: .*must divide each group's width"
    with pytest.raises(ValueError, match=reason):
        ppeffconv.convert(grouped, "octconv", alpha=0.125, input_shape=(3, 33, 33))


@pytest.mark.parametrize("network", [mobilenet_v1, mobilenet_v2])
def test_depthwise_convolutions_stay_dense(network):
    new = ppeffconv.convert(network(scale=0.25, num_classes=3), "octconv", pointwise=True, input_shape=(3, 33, 33))
    depthwise = [row for row in new.conversion.kept if "groups must be 1" in row.reason]
    assert len(depthwise) == {mobilenet_v1: 13, mobilenet_v2: 17}[network]
    assert len(new.conversion.kept) == len(depthwise) + 1  # and the first one
    check_trains(new, images(2, 3, 33, 33))


def test_frozen_norms_and_mode_stay():
    net = resnet18(num_classes=3)
    net.layer1.eval()
    net.layer2[0].bn1._epsilon = 1e-3
    new = ppeffconv.convert(net, "octconv", input_shape=(3, 33, 33))
    block = new.layer1[0]
    assert not any(layer.training for layer in block.sublayers(include_self=True))
    assert new.layer2[0].conv1.training
    assert {new.layer2[0].conv1.bn_h._epsilon, new.layer2[0].conv1.bn_l._epsilon} == {1e-3}
