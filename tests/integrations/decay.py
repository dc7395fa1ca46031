"""Whether an optimizer leaves alone what layers exempt from weight decay."""

from __future__ import annotations

import numpy as np
from paddle import nn
from paddle.optimizer import Optimizer

from ppeffconv.layers.decay import undecayed_parameters


def check_decay(net: nn.Layer, optimizer: Optimizer) -> None:
    """A step without gradients changes weights, by their decay, and no mask."""
    spared = undecayed_parameters(net)
    names = {parameter.name for parameter in spared}
    weights = [p for p in net.parameters() if p.name not in names and p.trainable and p.ndim == 4]
    assert spared
    assert weights
    for parameter in net.parameters():
        parameter.clear_gradient()
    before = {p.name: p.numpy().copy() for p in (*spared, *weights)}
    sum((p * 0).sum() for p in net.parameters() if p.trainable).backward()
    optimizer.step()
    for parameter in spared:
        np.testing.assert_array_equal(parameter.numpy(), before[parameter.name])
    assert all(np.abs(p.numpy()).sum() < np.abs(before[p.name]).sum() for p in weights)
