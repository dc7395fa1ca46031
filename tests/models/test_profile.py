"""`profile` counts what a hand calculation counts."""

from __future__ import annotations

import pytest
from paddle import nn

import ppeffconv
from ppeffconv.layers import DDF2D, OctConv2D, SPConv2D, VersatileConv2D


def test_counts_by_hand():
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1, groups=1),
        nn.BatchNorm2D(8),
        nn.Conv2DTranspose(8, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 10 * 10, 7),
    )
    result = ppeffconv.profile(net, (3, 5, 5))
    assert result.macs == 25 * 8 * 27 + 25 * 8 * 4 * 4 + 400 * 7
    assert result.params == 8 * 27 + 8 + 16 + 8 * 4 * 4 + 4 + 400 * 7 + 7
    assert [row.type for row in result.layers] == ["Conv2D", "BatchNorm2D", "Conv2DTranspose", "Linear"]


class Wrapped(nn.Layer):
    """An OctConv that takes one tensor."""

    def __init__(self):
        super().__init__()
        self.conv = OctConv2D(8, 16, 3, alpha_in=0, padding=1)

    def forward(self, x):
        return self.conv(x)[0]


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (SPConv2D(8, 16), 100 * 16 * (4 * 9 // 2 + 4 + 4)),
        (VersatileConv2D(8, 16, 3, padding=1), 100 * 8 * 8 * (9 + 1)),
        (VersatileConv2D(8, 16, 3, padding=1, delta=1), 100 * 4 * 2 * 7 * (9 + 1)),
        (DDF2D(8), 100 * 8 * 9 + 100 * 8 * 9 + 8 * 1 + 72),
        (Wrapped(), 100 * 8 * 8 * 9 + 25 * 8 * 8 * 9),
    ],
    ids=["sp", "versatile", "versatile-channel", "ddf", "oct"],
)
def test_custom_layers_declare_theirs(layer, macs):
    assert ppeffconv.profile(layer, (8, 10, 10)).macs == macs


def test_leaves_the_network_as_it_was():
    net = ppeffconv.create_model("resnet20", num_classes=2)
    net.train()
    net.bn1.eval()
    mean = net.bn1._mean.numpy().copy()
    table = str(ppeffconv.profile(net, (1, 3, 16, 16)))
    assert "layer1.0.conv1" in table
    assert "total" in table
    assert net.training
    assert not net.bn1.training
    assert (net.bn1._mean.numpy() == mean).all()
    assert not any(layer._forward_post_hooks for layer in net.sublayers(include_self=True))


@pytest.mark.parametrize("shape", [(3, 32), (0, 3, 3), (1, 2, 3, 4, 5, 6)])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match="input_shape must be"):
        ppeffconv.profile(ppeffconv.create_model("resnet20"), shape)
