"""`deploy` of networks that are not known as a whole: what becomes a program, what stays and why."""

from __future__ import annotations

import copy
import threading

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision import models

import ppeffconv
from ppeffconv import layers
from ppeffconv.conversion import convert
from ppeffconv.deployed import Deployed, islands, report
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
    deployed = ppeffconv.deploy(own, measure=False)
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
    deployed = ppeffconv.deploy(net, measure=False)
    assert not isinstance(deployed, Deployed)
    assert isinstance(deployed.layer1, Deployed)
    assert isinstance(deployed.layer2[1], Deployed)
    check(net, deployed, sizes=((1, 17, 21),))
    assert len(seen) == 5  # three in the trial, two in the comparison here
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
    deployed = ppeffconv.deploy(net, measure=False)
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
    ("net", "reason"),
    [
        (nn.Conv2D(3, 4, 3, padding=1, padding_mode="reflect"), "with reflect padding"),
        (nn.Linear(3, 224), "no layer of it tells how many channels"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.Flatten(2), nn.Linear(1024, 2)), "start_axis=1"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.Dropout(mode="downscale_in_infer")), "scales in eval mode"),
        (nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4, use_global_stats=False)), "depends on the batch"),
    ],
)
def test_a_network_without_any_program(net, reason):
    deployed = ppeffconv.deploy(net)
    assert type(deployed) is type(net)
    assert deployed is not net
    assert not deployed.training
    assert report(deployed).parts == []
    assert reason in deployed.report()
    assert deployed.report().startswith("nothing is a program")


class Guarded(nn.Layer):
    """A user's network that looks into what it holds, which a program cannot be asked."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.use = use
        self.body = nn.Sequential(
            nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU()),
            nn.Sequential(nn.Conv2D(8, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU()),
        )

    def forward(self, x):
        return getattr(self, self.use)(x) + self.body[0][0].weight.mean()

    def index(self, x):
        return self.body[1](self.body[0](x))

    def cut(self, x):
        return self.body[:1](x)

    def iterate(self, x):
        for layer in self.body:
            x = layer(x)
        return x

    def length(self, x):
        return self.body(x) * len(self.body)

    def attribute(self, x):
        return self.body(x) * self.body[1][0].weight.mean()

    def keyword(self, x):
        return self.body(input=x)

    def kind(self, x):
        return self.body(x) if isinstance(self.body[1], nn.Sequential) else x


@pytest.mark.parametrize("use", ["index", "cut", "iterate", "length", "attribute", "keyword", "kind"])
def test_nothing_is_replaced_that_the_network_cannot_use(use):
    net = trained(Guarded(use))
    deployed = ppeffconv.deploy(net, measure=False)
    check(net, deployed)
    text = deployed.report()
    rows = {row.name: row.reason for row in report(deployed).kept}
    assert type(deployed.body) is nn.Sequential
    assert rows["body"] in text
    assert rows["body"].startswith(
        "the network calls the layers in it"
        if use in ("index", "cut", "iterate")
        else "it is called with other arguments"
        if use == "keyword"
        else "with a program in its place the network fails"
    )
    # what it does not look into becomes a program all the same
    inner = deployed.body[1]
    assert isinstance(inner, Deployed) == (use in ("index", "iterate", "length", "keyword"))


def test_numbers_that_would_change():
    class Choosy(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = (
                nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.BatchNorm2D(4), nn.ReLU()) for _ in range(2)
            )

        def forward(self, x):
            return self.one(x) + self.two(x) * (1.0 if isinstance(self.two, nn.Sequential) else 1.01)

    net = trained(Choosy())
    deployed = ppeffconv.deploy(net, measure=False)
    check(net, deployed)
    assert isinstance(deployed.one, Deployed)
    assert type(deployed.two) is nn.Sequential
    assert [part.name for part in report(deployed).parts] == ["one", "two.0 to two.2"]
    assert [row.name for row in report(deployed).kept] == ["", "two"]
    assert "the network's output differs by" in report(deployed).kept[1].reason


@pytest.mark.parametrize(
    ("times", "parts"),
    [
        ([(2.0, 1.0), (3.0, 1.0), (9.0, 5.0)], ["stem", "block"]),
        ([(1.0, 1.0), (3.0, 1.0), (9.0, 5.0)], ["block"]),
        ([(1.0, 2.0), (1.0, 0.99)], []),
        ([(2.0, 1.0), (3.0, 1.0), (9.0, 9.0)], []),
    ],
)
def test_what_gains_nothing_stays(own, monkeypatch, times, parts):
    """Measured part by part, and then the whole network."""
    clock = iter(times)
    monkeypatch.setattr(islands, "race", lambda *forwards: [forward() for forward in forwards] and next(clock))
    deployed = ppeffconv.deploy(own)
    assert next(clock, None) is None
    assert type(deployed) is Own
    check(own, deployed)
    found = report(deployed)
    assert [part.name for part in found.parts] == parts
    assert [name for name in ("stem", "block") if isinstance(getattr(deployed, name), Deployed)] == parts
    measured = {row.name: (row.reason, row.times) for row in found.kept if row.times}
    assert measured == {
        name: ("no gain" if now > 0.97 * was else "no gain in the network", (was, now))
        for name, (was, now) in zip(("stem", "block"), times)
        if name not in parts
    }
    if len(times) == 3:
        assert f"tried on [1, 3, 224, 224]: {times[2][1]:.2f} ms, 9.00 ms without programs" in deployed.report()
    for name, (was, now) in zip(("stem", "block"), times):
        assert (f"{now:.2f} ms instead of {was:.2f}" in deployed.report()) == (name in parts)


def test_the_default_measures(own):
    """Whatever comes out, it computes the same, and the report has both times."""
    deployed = ppeffconv.deploy(own)
    check(own, deployed)
    assert "ms" in deployed.report()
    assert "measured:" in deployed.report(images((2, 3, 32, 32)))


def conv_norm_act(inputs: int) -> list[nn.Layer]:
    return [nn.Conv2D(inputs, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU()]


class Taps(nn.Layer):
    """Takes what is between the layers of an nn.Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_norm_act(3), nn.Softplus(), *conv_norm_act(8))

    def forward(self, x):
        features = []
        for layer in self.body:
            features.append(x := layer(x))
        return features[1::4]


def test_layers_beside_one_without_a_deploy_form():
    """What follows one another in an nn.Sequential becomes one program, on either side of it."""
    net = trained(nn.Sequential(*conv_norm_act(3), *conv_norm_act(8), nn.Softplus(), *conv_norm_act(8)))
    deployed = ppeffconv.deploy(net, measure=False, example=(3, 16, 16))
    check(net, deployed)
    found = report(deployed)
    assert [(part.name, part.kind, len(part.program.steps)) for part in found.parts] == [
        ("0 to 5", "6 layers", 2),
        ("7 to 9", "3 layers", 1),
    ]
    assert [str(row) for row in found.kept] == [
        "the network (Sequential): 6 (Softplus): no deploy form of this class is known"
    ]


def test_layers_between_which_the_network_looks():
    net = trained(Taps())
    deployed = ppeffconv.deploy(net, measure=False, example=(3, 16, 16))
    assert report(deployed).parts == []
    for ours, theirs in zip(deployed(images((2, 3, 9, 7))), net(images((2, 3, 9, 7))), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_a_layer_that_is_there_twice_is_in_no_run():
    shared = nn.Conv2D(8, 8, 3, padding=1)
    net = trained(nn.Sequential(nn.Softplus(), *conv_norm_act(3), shared, nn.ReLU(), shared, nn.Hardswish()))
    check(net, ppeffconv.deploy(net, measure=False, example=(3, 16, 16)))


def test_parts_that_are_not_called(own):
    own.spare = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4), nn.ReLU())
    deployed = ppeffconv.deploy(own, measure=False)
    assert type(deployed.spare) is nn.Sequential
    assert {row.name: row.reason for row in report(deployed).kept}["spare"] == "the network did not call it"


class Fixed(nn.Layer):
    """A network for images of one size, or of several inputs."""

    def __init__(self, side: int, inputs: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(1, 4, 3, padding=1), nn.BatchNorm2D(4), nn.ReLU())
        self.fc, self.inputs = nn.Linear(4 * side * side, 2), inputs

    def forward(self, *xs):
        if len(xs) != self.inputs:
            raise ValueError(f"{self.inputs} inputs, please")
        return self.fc(sum(self.body(x) for x in xs).flatten(1))


def test_on_what_it_is_tried():
    x = paddle.rand([2, 1, 28, 28])
    deployed = ppeffconv.deploy(Fixed(28), measure=False)
    assert report(deployed).tried == "tried on [1, 1, 28, 28]"
    for example, told in (((1, 20, 20), "[1, 1, 20, 20]"), (paddle.rand([3, 1, 20, 20]), "[3, 1, 20, 20]")):
        deployed = ppeffconv.deploy(Fixed(20), measure=False, example=example)
        assert (report(deployed).tried, len(report(deployed).parts)) == (f"tried on {told}", 1)
    deployed = ppeffconv.deploy(Fixed(28, 2), measure=False, example=(x, x.numpy()))
    assert report(deployed).tried == "tried on [2, 1, 28, 28], [2, 1, 28, 28]"
    assert isinstance(deployed.body, Deployed)


def test_without_an_input_nothing_is_replaced():
    deployed = ppeffconv.deploy(Fixed(19))
    assert report(deployed).parts == []
    assert "cannot be tried: on [1, 1, 224, 224] it fails: (InvalidArgument) " in deployed.report()
    assert deployed.report().endswith("; give example=")
    with pytest.raises(ValueError, match=r"does not take the example: on \[1, 1, 8, 8\] it fails: \(InvalidArgument\)"):
        ppeffconv.deploy(Fixed(19), example=(1, 8, 8))
    for example in ("224", (1, 0, 8), (8, 8), (1, 19.0, 19), 224):
        with pytest.raises(ValueError, match="deploy: (an )?example"):
            ppeffconv.deploy(Fixed(19), example=example)


def test_a_trial_does_not_touch_the_random_state():
    class Noisy(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU())

        def forward(self, x):
            return self.body(x) + paddle.rand([1])

    net = Noisy()
    paddle.seed(5)
    expected = paddle.rand([4]).numpy()
    paddle.seed(5)
    deployed = ppeffconv.deploy(net, measure=False)
    assert isinstance(deployed.body, Deployed)
    np.testing.assert_array_equal(paddle.rand([4]).numpy(), expected)


def test_a_network_that_cannot_be_copied():
    net = Own()
    net.lock = threading.Lock()
    with pytest.raises(ValueError, match="works on a copy, and Own cannot be copied: cannot pickle"):
        ppeffconv.deploy(net)
