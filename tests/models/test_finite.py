"""Freshly made networks give finite numbers, in evaluation too, where norms have no statistics yet."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.layers import METHODS

INPUTS = {
    "normal": lambda shape: paddle.randn(shape),
    "zero": paddle.zeros,
    "large": lambda shape: 1e3 * paddle.randn(shape),
    "constant": lambda shape: paddle.full(shape, 0.7),
}
# one of each kind: the others are these, deeper or wider
RESNETS = {
    f"{prefix}{name}": arguments
    for prefix in ("", *(f"{method}_" for method in METHODS.list() if method not in ("plain", "ddf_separable")))
    for name, arguments in {"resnet20": {}, "resnet18": {"width": 8}}.items()
}
NETWORKS = {
    **RESNETS,
    "gated_resnet56": {},
    "gated_resnet50": {"width": 8},
    "uniform_resnet20": {},
    "sampled_resnet50": {"width": 8},
    "ddf_resnet50d": {"width": 8},
    "se_resnet50": {"width": 8},
    "oct_se_resnet50": {"width": 8},
    "oct_resnext50_32x4d": {"width": 16},
    "mobilenet_v1": {"scale": 0.25},
    "oct_mobilenet_v2": {"scale": 0.25},
    "oct_densenet121": {},
    "gated_vgg16": {"head": "cifar"},
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_a_new_network_gives_finite_numbers(name, training):
    net = ppeffconv.create_model(name, num_classes=3, **NETWORKS[name])
    net.train() if training else net.eval()
    with paddle.no_grad():
        for what, make in INPUTS.items():
            assert np.isfinite(net(make([2, 3, 32, 32])).numpy()).all(), what


@pytest.mark.parametrize("name", ["gated_resnet18", "gated_resnet20"])
def test_a_new_gated_network_stays_finite_over_seeds(name):
    """A product of two maps squares their size: 18 in a row passed what a float can hold."""
    for seed in range(5):
        paddle.seed(seed)
        net = ppeffconv.create_model(name, num_classes=3, width=16)
        net.eval()
        y = net(paddle.randn([2, 3, 32, 32]))
        assert np.isfinite(y.numpy()).all()
        assert y.abs().max() < 1e4
