"""Weight decay moves no parameter that is no weight, whatever the optimizer."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
from paddle import nn, optimizer
from paddle.regularizer import L1Decay, L2Decay

from ppeffconv import create_model
from ppeffconv.layers import (
    LearnedVersatileConv2D,
    ReLUGatedConv2D,
    SampledBasicBlock,
    exempt_from_decay,
    undecayed_parameters,
)


def network() -> nn.Sequential:
    return nn.Sequential(
        LearnedVersatileConv2D(4, 4, 3, padding=1),
        ReLUGatedConv2D(4, 4, 3, padding=1),
        SampledBasicBlock(4, 4),
        SampledBasicBlock(4, 4, kernel="learned", window=3),
    )


OPTIMIZERS = {
    "SGD": lambda p: optimizer.SGD(0.1, p, weight_decay=0.5),
    "Momentum": lambda p: optimizer.Momentum(0.1, parameters=p, weight_decay=0.5),
    "Momentum, L2Decay": lambda p: optimizer.Momentum(0.1, parameters=p, weight_decay=L2Decay(0.5)),
    "Momentum, L1Decay": lambda p: optimizer.Momentum(0.1, parameters=p, weight_decay=L1Decay(0.5)),
    "Adam": lambda p: optimizer.Adam(0.1, parameters=p, weight_decay=0.5),
}
GROUPED = {
    "Momentum, group": lambda p: optimizer.Momentum(0.1, parameters=[{"params": p, "weight_decay": 0.5}]),
    "AdamW": lambda p: optimizer.AdamW(0.1, parameters=p, weight_decay=0.5),
    "AdamW, group": lambda p: optimizer.AdamW(0.1, parameters=[{"params": p, "weight_decay": 0.5}]),
    "AdamW, function": lambda p: optimizer.AdamW(
        0.1, parameters=p, weight_decay=0.5, apply_decay_param_fun=lambda name: True
    ),
}


def moved_without_gradient(net: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> set[str]:
    """Names of the parameters that three steps of zero gradient change."""
    before = {name: parameter.numpy().copy() for name, parameter in net.named_parameters()}
    for _ in range(3):
        (sum(parameter.sum() for parameter in net.parameters()) * 0).backward()
        optimizer.step()
        optimizer.clear_grad()
    return {name for name, parameter in net.named_parameters() if (parameter.numpy() != before[name]).any()}


NO_WEIGHTS = {
    "0.mask",
    "1.collaborative.1.weight",
    "1.collaborative.1.bias",
    *(f"2.conv{i}_sigma" for i in (1, 2)),
    *(f"3.conv{i}_kernel" for i in (1, 2)),
}


def weights(net: nn.Layer) -> set[str]:
    return {name for name, parameter in net.named_parameters() if name not in NO_WEIGHTS and parameter.abs().max() > 0}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("copied", [False, True])
def test_layers_exempt_what_is_no_weight(name, copied):
    net = copy.deepcopy(network()) if copied else network()
    expected = weights(net) - {n for n, p in net.named_parameters() if p.stop_gradient}
    assert moved_without_gradient(net, OPTIMIZERS[name](net.parameters())) == expected


@pytest.mark.parametrize("name", GROUPED)
def test_groups_and_decoupled_decay_are_told(name):
    net = network()
    made = GROUPED[name](net.parameters())
    assert exempt_from_decay(made, net) is made
    moved = moved_without_gradient(net, made)
    assert not moved & NO_WEIGHTS
    assert {"0.weight", "1.conv.weight"} <= moved


def test_a_function_of_ones_own_still_decides_on_the_weights():
    net = network()
    kept = net[0].weight.name
    made = optimizer.AdamW(0.1, parameters=net.parameters(), apply_decay_param_fun=lambda name: name != kept)
    moved = moved_without_gradient(net, exempt_from_decay(made, net))
    assert not moved & {"0.weight", *NO_WEIGHTS}
    assert "1.conv.weight" in moved


@pytest.mark.parametrize("name", ["resnet20", "oct_resnet20", "sp_resnet20", "ddf_resnet20"])
def test_weights_are_not_exempt(name):
    assert undecayed_parameters(create_model(name, num_classes=3)) == []


def test_networks_name_their_masks():
    net = create_model("learned_versatile_resnet20", num_classes=3)
    names = {parameter.name for parameter in undecayed_parameters(net)}
    assert names == {p.name for n, p in net.named_parameters() if n.endswith(".mask")}
    assert len(names) == 19


def test_trained_masks_keep_their_density():
    """Where the images say nothing, decay alone used to switch the masks off."""
    net = LearnedVersatileConv2D(4, 8, 3, padding=1)
    before = float(net.masks().mean())
    made = optimizer.Momentum(0.1, parameters=net.parameters(), weight_decay=0.05)
    for _ in range(200):
        (net(paddle.zeros([1, 4, 4, 4])) * 0).sum().backward()
        made.step()
        made.clear_grad()
    np.testing.assert_allclose(float(net.masks().mean()), before)
