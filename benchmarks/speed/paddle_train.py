"""A training step in Paddle, by this package or by stock Paddle: the environment decides which ops run."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from ppeffconv.models import count_parameters, create_model, profile
from ppeffconv.ops import loader

from .peers.serve import Job


def prepare(network: str, size: int, batch: int, classes: int) -> Job:
    """Forward, cross entropy, backward, SGD with momentum and weight decay, on one random batch."""
    net = _network(network, classes)
    net.train()
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, net.parameters(), weight_decay=1e-4)
    images, labels = paddle.randn([batch, 3, size, size]), paddle.randint(0, classes, [batch])
    losses = []

    def step() -> None:
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))

    parameters = count_parameters(net)
    known = {"parameters": parameters, "version": f"Paddle {paddle.version.full_version}"}
    if loader.mode() != "reference":
        known["kernels"] = sorted(loader.library().ops)
        known["macs"] = 3 * batch * _macs(net, size)  # forward, and the gradients of input and weight
    return Job(step, lambda: known | {"losses": losses})


def _macs(net: paddle.nn.Layer, size: int) -> int:
    """Multiply-adds of an image's forward; without interpolating sampled features, which separable sums make cheap."""
    layers = profile(net, (3, size, size)).layers
    return sum(layer.macs for layer in layers if not layer.type.startswith("Sampled"))


def _network(name: str, classes: int) -> paddle.nn.Layer:
    if loader.mode() == "reference" and name == "resnet18":
        return paddle.vision.models.resnet18(num_classes=classes)  # Paddle's own, to the last line
    return create_model(name, num_classes=classes)
