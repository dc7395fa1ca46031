"""Networks of users, and what the tests ask of a conversion."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from tests import oracles


class Toy(nn.Layer):
    """Layers in attributes, nn.Sequential and nn.LayerList, one of them used twice; odd sizes inside."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2D(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2D(8, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU())
        self.stages = nn.LayerList([nn.Conv2D(8, 16, 3, stride=2, padding=1), nn.Conv2D(16, 16, 3, padding=1)])
        self.again = self.stages[1]
        self.unregistered = [self.stages[0]]
        self.odd = nn.Conv2D(16, 16, (1, 3), padding=(0, 1))
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.body(F.relu(self.first(x)))
        x = F.relu(self.unregistered[0](x))
        for layer in (self.stages[1], self.again, self.odd):
            x = F.relu(layer(x))
        return self.fc(x.mean([2, 3]))


def images(*shape, seed=0):
    """Random images in float32."""
    return paddle.to_tensor(oracles.random(*shape, seed=seed).astype("float32"))


def randomise(net, seed=3):
    """Statistics and parameters of norms as after training, so that nothing is 0 or 1 by chance."""
    numbers = np.random.default_rng(seed)
    for layer in net.sublayers(include_self=True):
        if isinstance(layer, nn.BatchNorm2D):
            for parameter, low, high in (
                (layer._mean, -0.3, 0.3),
                (layer._variance, 0.5, 2),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
            ):
                parameter.set_value(numbers.uniform(low, high, parameter.shape).astype("float32"))
    return net


def only_centres(net):
    """Leave only the centre tap of every convolution, so that positions do not mix."""
    for layer in net.sublayers(include_self=True):
        if isinstance(layer, nn.Conv2D):
            weight = layer.weight.numpy()
            middle = weight.shape[2] // 2
            kept = np.zeros_like(weight)
            kept[:, :, middle, middle] = weight[:, :, middle, middle]
            layer.weight.set_value(kept)
    return net


def blocky(*shape, block):
    """Images that are constant over blocks of this side: pooling, striding and upsampling lose nothing of them."""
    n, c, h, w = shape
    small = oracles.random(n, c, h // block, w // block)
    return paddle.to_tensor(small.repeat(block, 2).repeat(block, 3).astype("float32"))


def same(a, b, relative=1e-5):
    """Whether two outputs are equal up to rounding."""
    a, b = a.numpy(), b.numpy()
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= relative * max(np.abs(b).max(), 1e-3)


def state(net):
    """All of a network's state, as numpy arrays."""
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def check_trains(net, x):
    """A step in training: finite gradients reach every parameter."""
    net.train()
    y = net(x)
    (y * images(*y.shape, seed=1)).sum().backward()
    for name, parameter in net.named_parameters():
        if not parameter.stop_gradient:
            assert parameter.grad is not None, name
            assert np.isfinite(parameter.grad.numpy()).all(), name
    net.clear_gradients()
