"""Feature pyramids and the dilated FPN equal their deploy form: one program, at any size."""

from __future__ import annotations

import sys

import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.deployed import Deployed, report
from ppeffconv.layers import set_eval_mode
from ppeffconv.models import FPN, DilatedFPN

from .networks import check, images, need, run, trained

SIZES = ((1, 33, 47), (2, 40, 31), (1, 64, 64), (1, 5, 1))
PYRAMIDS = {
    "nearest": {"extra_levels": 1},
    "bilinear": {"upsample": "bilinear"},
    "sp": {"conv": "sp", "extra_levels": 1},
    "versatile bilinear": {"conv": "versatile", "upsample": "bilinear"},
}


def backbone(name="resnet18", **arguments):
    return ppeffconv.create_model(name, features_only=True, width=8, **arguments)


def with_pyramid(net, **arguments):
    return nn.Sequential(net, FPN(net.feature_channels, net.feature_strides, 12, **arguments))


def ready(net):
    """Trained, with other biases than 0, and masks without noise."""
    for layer in net.sublayers():
        if isinstance(layer, nn.Conv2D) and layer.bias is not None:
            layer.bias.set_value(paddle.randn(layer.bias.shape) * 0.1)
    set_eval_mode(net, "deterministic")
    return trained(net)


@pytest.fixture(autouse=True)
def seed():
    paddle.seed(0)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("case", PYRAMIDS)
def test_backbone_and_pyramid(case, backend):
    need(backend)
    net = ready(with_pyramid(backbone(), **PYRAMIDS[case]))
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed, sizes=SIZES)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_dilated_fpn(output_stride, backend):
    need(backend)
    net = ready(DilatedFPN(backbone(output_stride=output_stride), 5, channels=16, head_channels=12))
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    assert len(deployed.program.outputs) == len(set(net.fpn.feature_strides))
    check(net, deployed, sizes=SIZES)


@pytest.mark.parametrize("name", ["oct_resnet18", "sp_resnet50", "sampled_resnet50", "gated_resnet18"])
def test_dilated_fpn_on_other_backbones(name):
    need("auto")
    pyramid = {"upsample": "bilinear", "extra_levels": 1}
    net = ready(DilatedFPN(backbone(name, output_stride=8), 3, 12, 10, fpn_kwargs=pyramid))
    deployed = ppeffconv.deploy(net)
    assert isinstance(deployed, Deployed)
    check(net, deployed, sizes=SIZES[:2])


def test_the_sums_are_fused_and_the_report_says_what_paddle_does():
    net = ready(DilatedFPN(backbone(output_stride=16), 5, channels=16, head_channels=12))
    deployed = ppeffconv.deploy(net)
    steps = deployed.program.steps
    assert {step.op for step in steps} == {"conv", "pool"}
    assert [step.label for step in steps if step.op == "conv" and step["up"]] == [
        "fpn.lateral_convs.1",
        "fpn.lateral_convs.0",
    ]
    assert "in Paddle: its outputs are resized to the image and added" in deployed.report()


@pytest.mark.parametrize("upsample", ["deconvolution", "pixel_shuffle", "carafe", "ddf"])
def test_other_upsamplings_stay_with_the_reason(upsample):
    net = ready(with_pyramid(backbone(), upsample=upsample))
    deployed = ppeffconv.deploy(net)
    assert isinstance(deployed[0], Deployed)
    reasons = {row.name: row.reason for row in report(deployed).kept}
    assert "no step crops what its" in reasons["1"]
    check(net, deployed, sizes=SIZES[:2])


def test_more_maps_than_a_program_returns(monkeypatch):
    monkeypatch.setattr(sys.modules["ppeffconv.deployed.lower"], "MOST_OUTPUTS", 4)
    net = ready(with_pyramid(backbone(), extra_levels=1))
    deployed = ppeffconv.deploy(net)
    assert "it returns 5 maps, and a program at most 4" in str(report(deployed))
    check(net, deployed, sizes=SIZES[:2])


def test_a_pyramid_without_its_backbone():
    told = ppeffconv.deploy(
        FPN((8, 16), (4, 8), 12), example=([paddle.zeros([1, 8, 8, 8]), paddle.zeros([1, 16, 4, 4])],)
    )
    assert "deploy it together with its backbone" in told.report()


def test_export(tmp_path):
    """The resizing has to work where no size is known."""
    need("auto")
    net = ready(DilatedFPN(backbone(output_stride=8), 5, channels=16, head_channels=12))
    x = images((2, 3, 45, 39))
    expected = run(net, x).numpy()
    for deploy in (True, False):
        folder = ppeffconv.export(net, tmp_path / str(deploy), (3, 32, 40), deploy=deploy)
        got = ppeffconv.Predictor(folder).run(x.numpy())
        assert got.shape == expected.shape
        assert abs(got - expected).max() < 1e-4 * abs(expected).max()
