"""Modes of a network and its layers."""

from __future__ import annotations

from paddle import nn

from ppeffconv.utils.modes import eval_mode


def test_each_layer_gets_its_mode_back():
    net = nn.Sequential(nn.Dropout(), nn.BatchNorm2D(2))
    net[1].eval()
    with eval_mode(net):
        assert not any(layer.training for layer in net.sublayers(include_self=True))
    assert [layer.training for layer in (net, *net)] == [True, True, False]
