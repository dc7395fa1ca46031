"""`deploy`: its arguments, what it takes a second time or in a wrapper, and the report of whatever came out."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.deployed import Deployed, report

from .networks import check, create, images, run, trained


class Around(nn.Layer):
    """A user's forward around a part that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU())

    def forward(self, x):
        return self.body(x) * 2 - 1


@pytest.mark.parametrize(
    ("net", "arguments", "message"),
    [
        ("resnet20", {}, "net must be a paddle.nn.Layer, got str"),
        (nn.Conv2D(3, 4, 1), {"dtype": "float16"}, "dtype must be one of float32, bfloat16, auto, got 'float16'"),
        (nn.Conv2D(3, 4, 1), {"dtype": None}, "dtype must be one of float32, bfloat16, auto, got None"),
        (nn.Conv2D(3, 4, 1), {"seed": -1}, r"seed must be an integer in \[0, 2\^31\), got -1"),
        (nn.Conv2D(3, 4, 1), {"seed": 1.0}, r"seed must be an integer in \[0, 2\^31\), got 1.0"),
        (nn.Conv2D(3, 4, 1), {"seed": True}, r"seed must be an integer in \[0, 2\^31\), got True"),
        (nn.Conv2D(3, 4, 1), {"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_errors(net, arguments, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.deploy(net, **arguments)


def test_a_model_of_paddle_names_its_network():
    with pytest.raises(ValueError, match="got Model; give model.network"):
        ppeffconv.deploy(paddle.Model(Around()))


def test_out_of_data_parallel():
    net = create("resnet20")
    deployed = ppeffconv.deploy(paddle.DataParallel(net))
    assert isinstance(deployed, Deployed)
    check(net, deployed)
    assert report(deployed).parts[0].kind == "ResNet"


@pytest.mark.parametrize("make", [lambda: create("resnet20"), lambda: trained(Around()), lambda: nn.Linear(3, 4)])
def test_a_second_time_and_the_report_of_whatever_came_out(make):
    net = make()
    once = ppeffconv.deploy(net, measure=False)
    assert ppeffconv.deploy(once) is once
    assert isinstance(once.report(), str)
    assert str(report(once)) == once.report()
    again = copy.deepcopy(once)
    assert again.report() == once.report()
    assert ppeffconv.deploy(again) is again


def test_another_type_needs_the_network_itself():
    once = ppeffconv.deploy(create("resnet20"))
    with pytest.raises(ValueError, match="deployed already, in float32; for bfloat16 deploy the one that"):
        ppeffconv.deploy(once, dtype="bfloat16")


def test_a_report_that_the_network_has_stays():
    class Reporter(Around):
        def report(self):
            return "its own"

    deployed = ppeffconv.deploy(Reporter(), measure=False)
    assert deployed.report() == "its own"
    assert len(report(deployed).parts) == 1


def test_a_report_with_what_it_cannot_use():
    whole, parts = ppeffconv.deploy(create("resnet20")), ppeffconv.deploy(trained(Around()))
    array = np.ones((2, 3, 8, 8), "float32")
    for deployed in (whole, parts):
        assert "per image), median of 1 with" in deployed.report(array, 1)
        for rounds in (0, 1.5, None):
            with pytest.raises(ValueError, match="rounds must be an integer >= 1, got"):
                deployed.report(array, rounds)
    for wrong in ((3, 8.0, 8), (8, 8), "8", 8):
        with pytest.raises(ValueError, match="an input shape is"):
            whole.report(wrong)
        with pytest.raises(ValueError, match=r"give images \[N, C, H, W\], got .* ppeffconv.profile"):
            parts.report(wrong)


def test_report_of_another_network():
    with pytest.raises(ValueError, match="expected a network that ppeffconv.deploy returned, got Conv2D"):
        report(nn.Conv2D(3, 4, 1))


def test_the_state_of_a_network_in_parts_can_be_traced(tmp_path):
    net = trained(Around())
    deployed = ppeffconv.deploy(net, measure=False)
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
    paddle.jit.save(deployed, str(tmp_path / "net"), input_spec=spec)
    x = images((2, 3, 9, 7))
    got = paddle.jit.load(str(tmp_path / "net"))(x)
    np.testing.assert_allclose(got.numpy(), run(net, x).numpy(), atol=1e-4)
