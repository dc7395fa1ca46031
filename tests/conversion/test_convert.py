"""`ppeffconv.convert`: a copy with other layers, the choice among them, the report, and errors."""

from __future__ import annotations

import copy
import threading

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision.models import mobilenet_v2, resnet18

import ppeffconv
from ppeffconv.layers import SPConv2D

from .networks import Toy, check_trains, images, same, state

SHAPE = (3, 17, 15)


def test_a_new_network_and_the_old_one_untouched():
    net = Toy()
    before, x = state(net), images(2, *SHAPE)
    net.eval()
    y = net(x)
    net.body.train()
    new = ppeffconv.convert(net, "spconv", ratio=0.5, input_shape=SHAPE)
    assert type(new) is Toy
    assert all(np.array_equal(before[name], value) for name, value in state(net).items())
    assert [layer.training for layer in (net, net.body, net.stages[0])] == [False, True, False]
    assert (new.body[0].training, new.stages[0].training) == (True, False)
    assert {id(p) for p in net.parameters()}.isdisjoint(id(p) for p in new.parameters())
    assert {p.name for p in net.parameters()}.isdisjoint(p.name for p in new.parameters())
    net.eval()
    assert np.array_equal(net(x).numpy(), y.numpy())
    assert not hasattr(net, "conversion")


def test_every_reference_to_a_layer_is_followed():
    new = ppeffconv.convert(Toy(), "spconv", input_shape=SHAPE)
    assert new.again is new.stages[1]
    assert new.unregistered[0] is new.stages[0]
    assert all(isinstance(layer, SPConv2D) for layer in (new.body[0], *new.stages))
    assert "again.gwc.weight" in new.state_dict()
    check_trains(new, images(2, *SHAPE))


def test_the_state_can_be_saved_and_loaded(tmp_path):
    net = Toy()
    new, twin = (ppeffconv.convert(net, "spconv", input_shape=SHAPE) for _ in range(2))
    new.body[0].gwc.weight.set_value(new.body[0].gwc.weight + 1)
    paddle.save(new.state_dict(), str(tmp_path / "net.pdparams"))
    missing, unexpected = twin.set_state_dict(paddle.load(str(tmp_path / "net.pdparams")))
    assert not missing
    assert not unexpected
    twin.eval()
    new.eval()
    same(twin(images(1, *SHAPE)), new(images(1, *SHAPE)))
    again = copy.deepcopy(new)
    assert str(again.conversion) == str(new.conversion)


def test_in_paddle_model():
    model = paddle.Model(ppeffconv.convert(Toy(), "spconv", input_shape=SHAPE))
    optimizer = paddle.optimizer.Adam(parameters=model.parameters())
    model.prepare(optimizer, nn.CrossEntropyLoss(), paddle.metric.Accuracy())
    losses = [float(model.train_batch([images(4, *SHAPE).numpy()], [np.arange(4)])[0][0].item()) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_report():
    new = ppeffconv.convert(Toy(), "spconv", exclude="stages.0", input_shape=SHAPE)
    report = new.conversion
    assert [row.name for row in report.layers] == ["first", "body.0", "stages.0", "stages.1", "odd"]
    assert [row.became for row in report.layers] == [None, "SPConv2D", None, "SPConv2D", None]
    assert [row.name for row in report.kept] == ["first", "stages.0", "odd"]
    text = str(report).splitlines()
    assert text[0].split() == ["layer", "was", "became", "weights", "MACs"]
    assert "Conv2D 3 -> 8, 3x3 " in text[1]
    assert "kept: needs more than the 4 channels of an image, got 3" in text[1]
    assert "SPConv2D  approximate 0." in text[2]
    assert "Conv2D 8 -> 16, 3x3, stride 2" in text[3]
    assert text[3].endswith("kept: excluded")
    assert text[5].endswith("kept: replaces 3x3 convolutions, got kernel_size=(1, 3)")
    assert "replaced    2 of 5 by spconv" in text
    assert any(line.startswith("weights     approximate in 2: ") for line in text)
    assert max(map(len, text[:6])) <= 120


def test_totals_and_rows_are_those_of_profile():
    net = Toy()
    new = ppeffconv.convert(net, "spconv", input_shape=SHAPE)
    before, after = ppeffconv.profile(net, SHAPE), ppeffconv.profile(new, SHAPE)
    report = new.conversion
    assert (report.params, report.macs) == ((before.params, after.params), (before.macs, after.macs))
    assert after.macs < before.macs
    assert f"{before.params:,} -> {after.params:,}" in str(report)
    own = {row.name: row.macs for row in before.layers}
    shared = sum(row.macs for row in before.layers if row.name == "stages.1")
    assert {row.name: row.macs[0] for row in report.layers} == {
        **{name: own[name] for name in ("first", "body.0", "stages.0", "odd")},
        "stages.1": shared,
    }
    saved = before.macs - after.macs
    assert sum(row.macs[0] - row.macs[1] for row in report.layers) == saved


def test_include_and_exclude():
    def replaced(**chosen):
        report = ppeffconv.convert(Toy(), "spconv", input_shape=SHAPE, **chosen).conversion
        return [row.name for row in report.replaced]

    assert replaced(include="stages.*") == ["stages.0", "stages.1"]
    assert replaced(include=["body.0", "stages.[1-9]"]) == ["body.0", "stages.1"]
    assert replaced(exclude="*.0") == ["stages.1"]
    assert replaced(include="*", exclude=["stages.*"]) == ["body.0"]
    with pytest.raises(
        ValueError, match=r"include='stage.\*' matches no layer. Did you mean 'stages.1'\? There are: f"
    ):
        ppeffconv.convert(Toy(), "spconv", include="stage.*")
    with pytest.raises(ValueError, match="exclude='bod.0' matches no layer. Did you mean 'body.0'"):
        ppeffconv.convert(Toy(), "spconv", exclude="bod.0")


def test_layers_with_something_of_their_own_stay():
    class Doubled(nn.Conv2D):
        def forward(self, x):
            return 2 * super().forward(x)

    net = nn.Sequential(
        nn.utils.weight_norm(nn.Conv2D(8, 8, 3, padding=1)),
        nn.utils.spectral_norm(nn.Conv2D(8, 8, 3, padding=1)),
        Doubled(8, 8, 3, padding=1),
        nn.Conv2D(8, 8, 3, padding=1, padding_mode="reflect"),
        nn.Conv2D(8, 8, 3, padding=1),
        nn.Conv2D(8, 8, 3, padding=1),
        nn.Conv2D(8, 8, 3, padding=1),
    )
    net[5].register_forward_post_hook(lambda layer, inputs, output: None)
    net[4].weight = net[6].weight
    net.append(nn.Conv2D(8, 8, 3, padding=1))
    report = ppeffconv.convert(net, "spconv", input_shape=(8, 9, 9)).conversion
    assert [row.name for row in report.replaced] == ["7"]
    reasons = [row.reason for row in report.kept]
    expected = [
        "weight_norm",
        "weight is computed",
        "Doubled has a forward of its own",
        "pads by 'reflect'",
    ]
    expected += ["shares a parameter with 6", "has hooks", "shares a parameter with 4"]
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True)), reasons


def test_a_single_convolution():
    new = ppeffconv.convert(nn.Conv2D(8, 8, 3, padding=1), "spconv", input_shape=(8, 9, 9))
    assert type(new) is SPConv2D
    assert "(itself)  Conv2D 8 -> 8, 3x3  SPConv2D" in str(new.conversion)


def test_converted_layers_are_not_converted_again():
    new = ppeffconv.convert(Toy(), "spconv", include="body.*", input_shape=SHAPE)
    twice = ppeffconv.convert(new, "versatile", delta=1, input_shape=SHAPE)
    assert type(twice.body[0]) is SPConv2D
    assert "body.0  SPConv2D" in " ".join(str(twice.conversion).split(" ")).replace("    ", "  ")
    assert {row.name: row.reason for row in twice.conversion.kept}["body.0"] == "is converted already"
    with pytest.raises(ValueError, match="can replace nothing.*is converted already"):
        ppeffconv.convert(new, "spconv", include="body.0")


def test_an_accelerated_network():
    net = ppeffconv.accelerate(Toy())
    new = ppeffconv.convert(net, "spconv", include="stages.0", input_shape=SHAPE)
    assert type(new.stages[0]) is SPConv2D
    assert new.body[0].forward.__self__ is new.body[0]


def test_double_precision():
    net = Toy().to(dtype="float64")
    new = ppeffconv.convert(net, "spconv")
    assert {p.dtype for p in new.parameters()} == {paddle.float64}
    assert "MACs were not counted" in str(new.conversion)
    split = new.body[0].representative
    assert np.array_equal(new.body[0].conv1x1.weight[:, :, 0, 0], net.body[0].weight[:, split:, 1, 1])
    assert new(images(1, *SHAPE).astype("float64")).shape == [1, 5]


class Flat(nn.Layer):
    """Fits one size of input only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(8, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 9 * 9, 2)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def test_multiply_adds_on_a_network_of_one_size():
    report = ppeffconv.convert(Flat(), "spconv").conversion
    assert report.macs is None
    assert "MACs were not counted: the network does not take (8, 224, 224); give input_shape=(C, H, W)" in str(report)
    assert ppeffconv.convert(Flat(), "spconv", input_shape=(8, 9, 9)).conversion.macs is not None
    with pytest.raises(ValueError, match=r"does not take input_shape=\(8, 7, 7\)"):
        ppeffconv.convert(Flat(), "spconv", input_shape=(8, 7, 7))


class Reader(nn.Layer):
    """Looks inside its convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(8, 8, 3, padding=1)

    def forward(self, x):
        return self.conv(x) * self.conv.weight.mean()


class Locked(nn.Layer):
    """Cannot be copied."""

    def __init__(self):
        super().__init__()
        self.conv, self.lock = nn.Conv2D(8, 8, 3, padding=1), threading.Lock()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (Toy, {"method": "spconf"}, "unknown conversion method 'spconf'. Did you mean 'spconv'"),
        (Toy, {"method": "spconv", "ratoi": 0.5}, "has no argument 'ratoi'. Did you mean 'ratio'"),
        (Toy, {"method": "spconv", "excluded": "x"}, "Did you mean 'exclude'"),
        (Toy, {"method": "octconv", "ratio": 0.5}, "It takes: alpha, pointwise, pairs, include, exclude, input_shape"),
        (Toy, {"method": "spconv", "ratio": 2.0}, "can replace nothing in Toy.*ratio must lie between 0 and 1"),
        (Toy, {"method": "spconv", "ratio": None}, "can replace nothing in Toy.*ratio must lie between 0 and 1.*None"),
        (Toy, {"method": "ddf", "se_ratio": "0.2"}, "can replace nothing in Toy.*se_ratio must be positive"),
        (Toy, {"method": "versatile", "delta": "1"}, "can replace nothing in Toy.*delta must lie in"),
        (Toy, {"method": "versatile", "g": None}, "can replace nothing in Toy.*g must be a positive divisor"),
        (Toy, {"method": "spconv", "include": None}, "include must be a wildcard or a list of them, got None"),
        (Toy, {"method": "spconv", "input_shape": "x"}, r"input_shape must be \(C, H, W\).*got 'x'"),
        (lambda: nn.Linear(3, 3), {"method": "spconv"}, "nothing in Linear. It has no paddle.nn.Conv2D"),
        (Reader, {"method": "spconv"}, "looks inside one of them.*AttributeError"),
        (Locked, {"method": "spconv"}, "works on a copy, and Locked cannot be copied: cannot pickle"),
        (lambda: paddle.jit.to_static(Toy()), {"method": "spconv"}, "forward of 'Toy' was replaced.*convert first"),
        (lambda: paddle.Model(Toy()), {"method": "spconv"}, "got Model; give model.network"),
        (lambda: "resnet18", {"method": "spconv"}, "must be a paddle.nn.Layer, got str"),
    ],
)
def test_errors(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.convert(make(), **arguments)


def test_a_method_that_finds_no_place_says_why():
    with pytest.raises(ValueError, match="can replace nothing in MobileNetV2") as error:
        ppeffconv.convert(mobilenet_v2(scale=0.25), "spconv")
    text = str(error.value)
    assert "features.1.conv.0.0 and 16 more: groups its channels itself: groups must be 1, got 8" in text
    assert "and 33 more: replaces 3x3 convolutions, got kernel_size=(1, 1)" in text
    with pytest.raises(ValueError, match="pointwise=True takes them"):
        ppeffconv.convert(mobilenet_v2(scale=0.25), "octconv")


@pytest.mark.parametrize("method", ["octconv", "spconv", "versatile", "ddf", "sampling"])
def test_a_vision_resnet_by_every_method(method):
    net = resnet18(num_classes=4)
    new = ppeffconv.convert(net, method, input_shape=(3, 33, 35))
    check_trains(new, images(2, 3, 33, 35))
    report = new.conversion
    assert len(report.replaced) >= 8
    assert not (report.macs[1] >= report.macs[0] and method != "sampling")
    old, new = state(net), state(new)
    assert all(np.array_equal(old[name], new[name]) for name in ("bn1.weight", "bn1.bias", "fc.weight", "fc.bias"))
