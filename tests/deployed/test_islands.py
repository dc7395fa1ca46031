"""`deploy` of networks that are not known as a whole, and its errors."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision import models

import ppeffconv
from ppeffconv import layers
from ppeffconv.conversion import convert
from ppeffconv.deployed import Deployed, report
from ppeffconv.layers import set_eval_mode

from .networks import check, create, images, run, trained


class Own(nn.Layer):
    """A user's network: parts that are known, in a forward that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2D(3, 8, 3, 2, 1), nn.BatchNorm2D(8), nn.ReLU())
        self.block = layers.SPConv2D(8, 8)
        self.again = self.block
        self.conv = nn.Conv2D(8, 8, 1)
        self.norm = nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x, scale=1.0):
        x = self.stem(x)
        x = self.again(x) * scale + self.block(x)
        return self.fc(self.norm(self.conv(x)).mean([2, 3]))


@pytest.fixture
def own():
    paddle.seed(0)
    return trained(Own())


def test_parts_of_an_unknown_network(own):
    deployed = ppeffconv.deploy(own)
    assert type(deployed) is Own
    assert not deployed.training
    assert isinstance(deployed.stem, Deployed)
    assert isinstance(deployed.block, Deployed)
    assert deployed.again is deployed.block
    assert type(deployed.conv) is nn.Conv2D
    check(own, deployed)
    told = {row.name: row.reason for row in report(deployed).kept}
    assert told == {
        "": "no deploy form of this class is known",
        "conv": "alone, with nothing to fuse",
        "norm": "no deploy form of this class is known",
        "fc": "alone, with nothing to fuse",
    }
    assert "stem (Sequential): one program of 1 steps" in str(report(deployed))
    assert "norm (GroupNorm): no deploy form of this class is known" in str(report(deployed))


def test_the_network_is_not_touched(own):
    own.train()
    state = copy.deepcopy(own.state_dict())
    kinds = [type(layer) for layer in own.sublayers()]
    ppeffconv.deploy(own)
    assert own.training
    assert own.stem.training
    assert [type(layer) for layer in own.sublayers()] == kinds
    assert not [layer for layer in own.sublayers() if "forward" in vars(layer)]
    for name, value in own.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name].numpy())


def test_hooks_and_replaced_forwards_are_respected():
    net = create("resnet20")
    seen = []
    net.layer2[0].conv1.register_forward_post_hook(lambda layer, inputs, output: seen.append(output.shape))
    deployed = ppeffconv.deploy(net)
    assert not isinstance(deployed, Deployed)
    assert isinstance(deployed.layer1, Deployed)
    assert isinstance(deployed.layer2[1], Deployed)
    check(net, deployed, sizes=((1, 17, 21),))
    assert len(seen) == 2
    rows = {row.name: row.reason for row in report(deployed).kept}
    assert rows["layer2.0"] == "layer2.0.conv1 (Conv2D): it has hooks, which a program would not call"

    other = create("resnet20")
    plain = other.layer3[2].forward
    other.layer3[2].forward = lambda x: 2 * plain(x)
    deployed = ppeffconv.deploy(other)
    assert not isinstance(deployed, Deployed)
    check(other, deployed, sizes=((1, 17, 21),))


def test_an_accelerated_network_is_no_obstacle():
    net = trained(models.resnet18(num_classes=5))
    expected = run(net, images((1, 3, 33, 47)))
    deployed = ppeffconv.deploy(ppeffconv.accelerate(net))
    assert isinstance(deployed, Deployed)
    np.testing.assert_allclose(run(deployed, images((1, 3, 33, 47))).numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


def test_a_subclass_with_its_own_forward_is_not_taken_for_its_base():
    class Doubled(layers.SPConv2D):
        def forward(self, x):
            return 2 * super().forward(x)

    class Renamed(layers.SPConv2D):
        pass

    net = trained(nn.Sequential(Renamed(6, 6), Doubled(6, 6), nn.Conv2D(6, 4, 1), nn.ReLU()), 6)
    deployed = ppeffconv.deploy(net)
    assert [type(layer) for layer in deployed] == [Deployed, Doubled, nn.Conv2D, nn.ReLU]
    check(net, deployed, 6)


def test_guided_upsampling_stays():
    """It has two inputs."""

    class Guided(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = layers.SPConv2D(3, 4)
            self.up = layers.DDFUpsample2D(4, 2, guide_channels=3)

        def forward(self, x):
            return self.up(self.conv(x), x)

    net = trained(Guided())
    deployed = ppeffconv.deploy(net)
    assert type(deployed.up) is layers.DDFUpsample2D
    assert {row.name: row.reason for row in report(deployed).kept}["up"].startswith("it takes a guide")
    check(net, deployed)


@pytest.mark.parametrize("method", ["octconv", "spconv", "versatile", "ddf", "sampling"])
@pytest.mark.parametrize("origin", ["ours", "paddle.vision"])
def test_converted_networks(method, origin):
    paddle.seed(0)
    dense = create("resnet20") if origin == "ours" else models.resnet18(num_classes=5)
    net = trained(convert(dense, method))
    set_eval_mode(net, "deterministic")
    deployed = ppeffconv.deploy(net)
    assert isinstance(deployed, Deployed)
    check(net, deployed)


@pytest.mark.parametrize(
    ("net", "arguments", "message"),
    [
        ("resnet20", {}, "net must be a paddle.nn.Layer, got str"),
        (nn.Conv2D(3, 4, 1), {"dtype": "float16"}, "dtype must be one of float32, bfloat16, got 'float16'"),
        (nn.Conv2D(3, 4, 1), {"seed": -1}, r"seed must be an integer in \[0, 2\^31\), got -1"),
        (nn.Conv2D(3, 4, 1), {"backend": "gpu"}, "backend must be one of"),
        (nn.Conv2D(3, 4, 1, padding="SAME"), {}, "no part of the network has a deploy form: .*padding 'SAME'"),
        (nn.Conv2D(3, 4, 3, padding=1, padding_mode="reflect"), {}, "with reflect padding"),
        (nn.Linear(3, 4), {}, "no layer of it tells how many channels"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.Flatten(), nn.Linear(4, 2)), {}, "size depends on the input's"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.Dropout(mode="downscale_in_infer")), {}, "scales in eval mode"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.Conv2D(3, 4, 1)), {}, "does not fit 4 channels"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4, use_global_stats=False)), {}, "depends on the batch"),
    ],
)
def test_errors(net, arguments, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.deploy(net, **arguments)


def test_report_of_another_network():
    with pytest.raises(ValueError, match="expected a network that ppeffconv.deploy returned, got Conv2D"):
        report(nn.Conv2D(3, 4, 1))
