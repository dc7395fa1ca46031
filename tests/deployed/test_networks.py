"""Every network of the package equals its deploy form."""

from __future__ import annotations

from functools import cache

import pytest
from paddle import nn
from paddle.vision import models

import ppeffconv
from ppeffconv.deployed import Deployed
from ppeffconv.models import zoo

from .networks import TOLERANCE, check, create, need, trained

PREFIXES = ("", "oct_", "sp_", "versatile_", "learned_versatile_", "ddf_", "sampled_", "gated_", "ghost_", "het_")
CASES = {
    **{f"{prefix}resnet20": {} for prefix in (*PREFIXES, "uniform_")},
    **{f"{prefix}resnet50": {} for prefix in ("", "oct_", "sp_", "versatile_", "ddf_", "sampled_")},
    **{f"{prefix}resnet18": {} for prefix in ("", "oct_", "sampled_")},
    **{f"{prefix}vgg16": {"head": "cifar"} for prefix in PREFIXES if prefix != "sampled_"},
    "oct_resnet50 alpha": {"alpha": 0.25},
    "oct_resnet20 alpha": {"alpha": 0.0},
    "sp_resnet50 ratio": {"ratio": 0.25},
    "versatile_resnet50 delta": {"delta": 1},
    "versatile_resnet20 delta": {"delta": 2, "g": 2, "channel_mode": "reference"},
    "ddf_resnet50 add": {"mode": "add", "heads": 2},
    "sampled_resnet50 learned": {"kernel": "learned"},
    "sampled_resnet20 average": {"kernel": "average", "window": 3, "grid_stride": 0},
    "sampled_resnet20 zeros": {"interpolate": False},
    "ghost_resnet20 ratio": {"ratio": 3},
    "uniform_resnet18 scale": {"scale": 0.7},
    "resnet18 features": {"features_only": True, "out_indices": (1, 3)},
    "oct_resnet50 features": {"features_only": True, "out_indices": (2,)},
    "sampled_resnet18 features": {"features_only": True},
    "oct_resnet50 stride": {"output_stride": 8},
    "sp_resnet18 stride": {"output_stride": 16},
    "ddf_resnet50 stride": {"output_stride": 8},
    "versatile_resnet50 stride": {"output_stride": 16},
    "sampled_resnet50 stride": {"output_stride": 16},
}
# thirteen layers of random dynamic filters without shortcuts: the network itself is up to 1.3e-4 off float64
EXACT_TO = {"ddf_vgg16": 5e-4}


def small_vgg():
    net = models.VGG(models.vgg.make_layers([8, "M", 16, "M", 32], batch_norm=True), num_classes=-1)
    net.num_classes, net.classifier = (
        5,
        nn.Sequential(nn.Linear(32 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 5)),
    )
    return net


VISION = {
    "resnet18": lambda: models.resnet18(num_classes=5),
    "resnext50": lambda: models.resnext50_32x4d(num_classes=5),
    "resnet18 headless": lambda: models.resnet18(num_classes=-1, with_pool=False),
    "vgg": small_vgg,
    "mobilenet_v1": lambda: models.mobilenet_v1(scale=0.25, num_classes=5),
    "mobilenet_v2": lambda: models.mobilenet_v2(scale=0.25, num_classes=5),
    "mobilenet_v3_small": lambda: models.mobilenet_v3_small(scale=0.5, num_classes=5),
    "mobilenet_v3_large": lambda: models.mobilenet_v3_large(scale=0.35, num_classes=5),
}


@cache
def network(case: str):
    return create(case.split(" ")[0], **CASES[case])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_ours(case, backend):
    need(backend)
    net = network(case)
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed, tolerance=EXACT_TO.get(case, TOLERANCE))


@pytest.mark.parametrize("case", VISION)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_paddle_vision(case, backend):
    need(backend)
    net = trained(VISION[case]())
    deployed = ppeffconv.deploy(net, backend=backend)
    assert isinstance(deployed, Deployed)
    check(net, deployed)


def test_every_family_is_covered():
    elsewhere = set(zoo.NAMES)  # see test_zoo.py
    classifiers = [name for name in ppeffconv.list_models() if not name.endswith("_up_net") and name not in elsewhere]
    families = {name.rstrip("0123456789") for name in classifiers}
    assert families == {case.split(" ")[0].rstrip("0123456789") for case in CASES}
