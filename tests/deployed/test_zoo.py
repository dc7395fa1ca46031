"""Networks beyond ResNet and VGG equal their deploy form."""

from __future__ import annotations

import paddle
import pytest

import ppeffconv
from ppeffconv.deployed import Deployed, report
from ppeffconv.models import zoo

from .networks import check, create, need

CASES = {
    "se_resnet50": {"width": 16},
    "oct_se_resnet50": {"width": 16},
    "resnext50_32x4d": {"width": 16},
    "oct_resnext50_32x4d": {"width": 16},
    "resnet50d": {"width": 8},
    "ddf_resnet50d": {"width": 16},
    "oct_resnet152_v1e": {"width": 8},
    "oct_se_resnet152_v1f": {"width": 16},
    "mobilenet_v1": {"scale": 0.25},
    "oct_mobilenet_v1": {"scale": 0.25},
    "mobilenet_v2": {"scale": 0.25},
    "oct_mobilenet_v2": {"scale": 0.25},
    "densenet121": {},
    "oct_densenet121": {},
    "versatile_alexnet": {},
    "oct_mobilenet_v1 features": {"scale": 0.25, "features_only": True},
    "oct_mobilenet_v2 features": {"scale": 0.25, "features_only": True, "out_indices": (1, 3, 5)},
    "oct_densenet121 features": {"features_only": True, "out_indices": (1, 4)},
}


@pytest.mark.parametrize("case", CASES)
def test_deploy_form(case):
    need("auto")
    net = create(case.split(" ")[0], **CASES[case])
    deployed = ppeffconv.deploy(net)
    assert isinstance(deployed, Deployed)
    sizes = ((1, 67, 75), (2, 64, 97)) if "alexnet" in case else ((1, 33, 47), (2, 40, 31))
    check(net, deployed, sizes=sizes)


def test_videos_have_no_deploy_form():
    net = ppeffconv.create_model("oct_c2d50", num_classes=2)
    form = ppeffconv.deploy(net, example=(paddle.zeros([1, 3, 4, 32, 32]),))
    assert report(form).parts == []
    assert "no deploy form of this class is known" in form.report()


def test_every_network_is_covered():
    """But for those that differ in depth or in numbers alone, and videos."""
    alike = {"se_resnet101", "resnext101_32x4d", "se_resnet152_v1e", "resnet152_v1f", "alexnet"}
    names = {name.removeprefix("oct_") for name in zoo.NAMES if not name.endswith(("i3d50", "c2d50"))}
    assert names - alike == {case.split(" ")[0].removeprefix("oct_") for case in CASES}
