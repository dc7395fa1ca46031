"""Density and multiply-adds over the images of an evaluation."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.layers import density_report, set_eval_mode
from ppeffconv.models import DilatedFPN
from ppeffconv.models.cost import CostOfImages
from ppeffconv.models.profile import expected_macs


def build(name):
    return DilatedFPN(ppeffconv.create_model(name, features_only=True, output_stride=8, width=8), 3, 8, 8)


def run(net, images):
    net.eval()
    with CostOfImages(net) as cost:
        for image in images:
            net(image)
    net(paddle.randn([1, 3, 64, 64]))  # not counted any more
    return cost.facts()


def test_a_network_without_masks():
    net = build("resnet18")
    facts = run(net, [paddle.randn([1, 3, 40, 33])])
    counted = ppeffconv.profile(net, (3, 40, 33))
    assert facts == {"macs": counted.macs, "params": counted.params, "image": [40, 33]}


@pytest.mark.parametrize("name", ["sampled_resnet18", "gated_resnet18"])
def test_masks_at_the_mean_of_the_images(name):
    net = build(name)
    set_eval_mode(net, "deterministic")
    for layer in net.sublayers():  # masks that depend on the image
        for branch in ("conv1_mask", "conv2_mask", "collaborative"):
            for parameter_name, parameter in getattr(layer, branch, nn.Layer()).named_parameters():
                parameter.set_value(
                    paddle.zeros_like(parameter) if "bias" in parameter_name else paddle.randn(parameter.shape)
                )
    images = [paddle.randn([1, 3, 48, 48]) for _ in range(2)]
    net.eval()
    reports = []
    for image in images:
        net(image)
        reports.append({row.name: row.densities for row in density_report(net)})
    mean = {name: [(a + b) / 2 for a, b in zip(reports[0][name], reports[1][name])] for name in reports[0]}
    assert reports[0] != reports[1]
    facts = run(net, images)
    assert facts["macs"] == pytest.approx(expected_macs(net, (3, 48, 48), mean), abs=len(mean))
    assert facts["macs"] < facts["macs_without_masks"] == expected_macs(net, (3, 48, 48), None)
    shares = [share for values in mean.values() for share in values]
    assert facts["density"] == pytest.approx(sum(shares) / len(shares))
