"""Detectors in deploy form find what they found before."""

from __future__ import annotations

import copy

import paddle
import pytest

import ppeffconv


@pytest.mark.parametrize(
    ("backbone", "upsample"), [("oct_resnet18", "nearest"), ("resnet18", "ddf"), ("sampled_resnet18", "bilinear")]
)
def test_the_same_maps_at_an_odd_size(load, backbone, upsample):
    from ppeffconv.integrations.ppdet.deployed import deploy_features
    from ppeffconv.integrations.ppdet.runner import EffConvTrainer

    model = EffConvTrainer(load(f"EffConvResNet.name={backbone}", f"EffConvFPN.upsample={upsample}"), "eval").model
    ppeffconv.layers.set_eval_mode(model, "deterministic")
    model.eval()
    deployed = copy.deepcopy(model)
    deploy_features(deployed)
    inputs = {"image": paddle.randn([2, 3, 67, 90])}
    with paddle.no_grad():
        for got, expected in zip(deployed.neck(deployed.backbone(inputs)), model.neck(model.backbone(inputs))):
            assert got.shape == expected.shape
            assert float((got - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    assert isinstance(deployed.backbone.net, ppeffconv.deployed.Deployed) == (upsample != "ddf")


def test_evaluation_and_pictures(load, coco):
    from ppeffconv.integrations.ppdet import runner

    runner.train(load("epoch=1"), validate=False)
    assert runner.evaluate(load("deploy=true")) == runner.evaluate(load())
    assert (runner.infer(load("deploy=true"), str(coco / "images")) / "0.png").is_file()


def test_only_networks_of_this_package(load):
    from ppeffconv.integrations.ppdet.deployed import deploy_features
    from ppeffconv.integrations.ppdet.runner import EffConvTrainer

    model = EffConvTrainer(load("FasterRCNN.backbone=ResNet"), "eval").model
    with pytest.raises(ValueError, match="deploy form needs EffConvResNet and EffConvFPN, got ResNet"):
        deploy_features(model)
