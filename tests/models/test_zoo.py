"""The networks beyond ResNet and VGG: paddle.vision's values, shapes, gradients, features, mistakes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.vision import models

import ppeffconv
from ppeffconv.layers import VersatileConv2D
from ppeffconv.models.mobilenet import mobilenet_v1

SMALL = {
    "se_resnet50": {"width": 16},
    "oct_se_resnet50": {"width": 16},
    "resnext50_32x4d": {"width": 16},
    "oct_resnext50_32x4d": {"width": 16},
    "resnet50d": {"width": 8},
    "ddf_resnet50d": {"width": 8},
    "oct_resnet152_v1e": {"width": 8},
    "oct_se_resnet152_v1f": {"width": 16, "alpha": 0.25},
    "mobilenet_v1": {"scale": 0.25},
    "oct_mobilenet_v1": {"scale": 0.25, "alpha": 0.375},
    "mobilenet_v2": {"scale": 0.25},
    "oct_mobilenet_v2": {"scale": 0.25},
    "densenet121": {},
    "oct_densenet121": {"alpha": 0.3},
}
VISION = {
    "resnext50_32x4d": models.resnext50_32x4d,
    "mobilenet_v1": models.mobilenet_v1,
    "mobilenet_v2": models.mobilenet_v2,
    "densenet121": models.densenet121,
}


def copy_in_order(source, target):
    """Parameters and statistics of one network into another that lists the same shapes."""
    theirs, ours = source.state_dict(), target.state_dict()
    assert [v.shape for v in theirs.values()] == [v.shape for v in ours.values()]
    target.set_state_dict(dict(zip(ours, theirs.values())))


@pytest.mark.parametrize("name", VISION)
def test_plain_networks_are_those_of_paddle_vision(name):
    """Weights go over in order, and then the outputs are equal, on an odd size too."""
    theirs, ours = VISION[name](num_classes=7), ppeffconv.create_model(name, num_classes=7)
    copy_in_order(theirs, ours)
    theirs.eval()
    ours.eval()
    x = paddle.randn([1, 3, 65, 71])
    with paddle.no_grad():
        expected = theirs(x).numpy()
        np.testing.assert_allclose(ours(x).numpy(), expected, atol=1e-4 * expected.std())


def test_alexnet_is_that_of_paddle_vision():
    """Paddle's dropout scales in evaluation: that is in its first two fully connected layers here."""
    theirs, ours = models.alexnet(num_classes=7), ppeffconv.create_model("alexnet", num_classes=7)
    copy_in_order(theirs, ours)
    theirs.eval()
    ours.eval()
    for layer in (ours.head[3], ours.head[6]):
        layer.weight.set_value(layer.weight * 0.5)
    x = paddle.randn([1, 3, 224, 224])
    with paddle.no_grad():
        expected = theirs(x).numpy()
        np.testing.assert_allclose(ours(x).numpy(), expected, atol=1e-4 * expected.std())
        assert ours(x[:, :, :99, :101]).shape == [1, 7]


@pytest.mark.parametrize("name", SMALL)
def test_trains_on_an_odd_size(name):
    net = ppeffconv.create_model(name, num_classes=5, in_channels=1, **SMALL[name])
    y = net(paddle.randn([2, 1, 35, 41]))
    assert y.shape == [2, 5]
    loss = paddle.nn.functional.cross_entropy(y, paddle.to_tensor([1, 3]))
    sum(net.auxiliary_losses().values(), loss).backward()
    assert [n for n, p in net.named_parameters() if not p.stop_gradient and p.grad is None] == []


@pytest.mark.parametrize("name", SMALL)
def test_features(name):
    net = ppeffconv.create_model(name, features_only=True, out_indices=(1, 3), **SMALL[name])
    net.eval()
    with paddle.no_grad():
        maps = net(paddle.randn([1, 3, 64, 96]))
    assert [m.shape[1] for m in maps] == list(net.feature_channels)
    assert [m.shape[2:] for m in maps] == [[64 // s, 96 // s] for s in net.feature_strides]
    assert net.feature_strides == ((2, 8) if "mobile" in name else (4, 16))


def test_feature_maps_are_those_of_the_classifier():
    net = ppeffconv.create_model("oct_mobilenet_v1", scale=0.25, num_classes=5)
    maps = ppeffconv.create_model("oct_mobilenet_v1", scale=0.25, features_only=True)
    state = {name: value for name, value in net.state_dict().items() if name.startswith("features.")}
    assert list(state) == list(maps.state_dict())
    maps.set_state_dict(state)
    net.eval()
    maps.eval()
    x = paddle.randn([1, 3, 33, 47])
    with paddle.no_grad():
        logits = net.head.fc(maps(x)[-1].mean([2, 3]))
        np.testing.assert_allclose(logits.numpy(), net(x).numpy(), rtol=1e-4, atol=1e-6)


def test_octave_places_of_the_mobilenets():
    """The authors' ratios: none in the stem's convolution, the last three blocks of V1, the last four of V2."""
    v1 = ppeffconv.create_model("oct_mobilenet_v1", alpha=0.5)
    splits = [layer.out_split for layer in v1.sublayers() if isinstance(layer, ppeffconv.layers.OctConv2D)]
    assert [low > 0 for _, low in splits] == [False] + [True] * 20 + [False] * 5
    v2 = ppeffconv.create_model("oct_mobilenet_v2", alpha=0.5)
    splits = [layer.out_split for layer in v2.sublayers() if isinstance(layer, ppeffconv.layers.OctConv2D)]
    assert [low > 0 for _, low in splits] == [True, True, False] * 13 + [False] * 12


def test_octave_mobilenet_without_low_frequencies_pools_in_front_of_its_strides():
    plain, octave = mobilenet_v1(scale=0.25), mobilenet_v1(alpha=0.0, scale=0.25)
    copy_in_order(plain, octave)
    plain.eval()
    octave.eval()
    x = paddle.full([1, 3, 64, 64], 0.5)  # away from the borders a constant map looks the same after either
    with paddle.no_grad():
        first = [net.features[0](x) for net in (plain, octave)]
        np.testing.assert_allclose(first[0].numpy(), first[1][0].numpy(), rtol=1e-4, atol=1e-5)
        assert plain(x).shape == octave(x).shape


def test_versatile_alexnet():
    net = ppeffconv.create_model("versatile_alexnet", num_classes=3, delta=1)
    converted = [layer for layer in net.sublayers() if isinstance(layer, VersatileConv2D)]
    assert len(converted) == 6
    assert converted[-1].weight.shape[2:] == [6, 6]
    net.eval()
    with paddle.no_grad():
        assert net(paddle.randn([1, 3, 97, 99])).shape == [1, 3]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("oct_mobilenet_v1", {"alpha": 1.0}, r"alpha in \[0, 1\)"),
        ("oct_densenet121", {"alpha": -0.1}, r"alpha in \[0, 1\)"),
        ("mobilenet_v2", {"scale": 0}, "scale must be a number"),
        ("mobilenet_v1", {"alpha": 0.5}, "no argument 'alpha'"),
        ("mobilenet_v1", {"out_indices": (6,), "features_only": True}, "increasing stage numbers"),
        ("densenet121", {"out_indices": (1,)}, "features_only=True"),
        ("resnext50_32x4d", {"deformable": True}, "deformable convolutions are offered"),
        ("oct_resnext50_32x4d", {"alpha": 0.125}, "groups=32 must divide"),
        ("mobilenet_v1", {"num_classes": 0, "scale": 0.25}, "num_classes must be"),
        ("versatile_alexnet", {"ratio": 2}, "no argument 'ratio'"),
    ],
)
def test_mistakes_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.create_model(name, **arguments)


@pytest.mark.parametrize(
    ("network", "bottleneck", "variant", "message"),
    [
        (ppeffconv.models.ResNet, True, {"stride_last": True}, "ResNet has no variant with stride_last"),
        (ppeffconv.models.ResNet, False, {"groups": 32}, "ResNet of basic blocks has no variant with groups=32"),
        (ppeffconv.models.OctaveResNet, True, {"pooled_shortcut": True}, "no variant with pooled_shortcut"),
        (ppeffconv.models.OctaveResNet, False, {"squeeze": True}, "no variant with squeeze"),
    ],
)
def test_variants_that_a_network_does_not_have(network, bottleneck, variant, message):
    with pytest.raises(ValueError, match=message):
        network((1, 1, 1, 1), bottleneck, width=8, variant=ppeffconv.models.Variant(**variant))
