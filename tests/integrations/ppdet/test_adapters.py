"""Backbone, neck and the networks' own losses."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.layers import set_temperature, temperature_at

METHODS = ("", "oct_", "sp_", "versatile_", "ddf_", "sampled_", "gated_")


def backbone(**kwargs):
    from ppeffconv.integrations.ppdet.backbone import EffConvResNet

    return EffConvResNet(**{"name": "resnet18", "kwargs": {"width": 8}, **kwargs})


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_what_out_shape_promises(method):
    from ppeffconv.integrations.ppdet.neck import EffConvFPN

    net = backbone(name=f"{method}resnet18", return_idx=[1, 2, 3])
    maps = net({"image": paddle.rand([1, 3, 63, 97])})
    for shape, got in zip(net.out_shape, maps):
        assert got.shape == [1, shape.channels, *[-(-side // shape.stride) for side in (63, 97)]]
    neck = EffConvFPN(**EffConvFPN.from_config({}, net.out_shape), out_channel=8, upsample="bilinear")
    assert [shape.stride for shape in neck.out_shape] == [8, 16, 32, 64]
    assert [got.shape[1] for got in neck(maps)] == [8] * 4


def test_no_extra_level():
    from ppeffconv.integrations.ppdet.neck import EffConvFPN

    neck = EffConvFPN([8, 16], [4, 8], out_channel=8, extra_stage=0)
    assert [shape.stride for shape in neck.out_shape] == [4, 8]


def test_freezing():
    net = backbone(freeze_at=0)
    frozen = {name for name, p in net.net.named_parameters() if p.stop_gradient}
    assert {name.split(".")[0] for name in frozen if "_mean" not in name and "_variance" not in name} == {
        "conv1",
        "bn1",
        "layer1",
    }
    stem = backbone(freeze_stem=True).net
    assert stem.conv1.weight.stop_gradient
    assert not stem.layer1[0].conv1.weight.stop_gradient


@pytest.mark.parametrize("name", ["resnet18", "oct_resnet18", "sampled_resnet18"])
def test_frozen_norms_use_and_keep_their_statistics(name):
    net = backbone(name=name, freeze_norm=True)
    net.train()
    norms = [layer for layer in net.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    before = [norm._mean.numpy().copy() for norm in norms]
    sum(m.sum() for m in net({"image": paddle.rand([2, 3, 64, 64])})).backward()
    assert all(norm.weight.grad is None for norm in norms)
    assert net.net.layer4[1].parameters()[0].grad is not None
    for norm, mean in zip(norms, before):
        np.testing.assert_array_equal(norm._mean.numpy(), mean)


def test_learning_rates_of_stages():
    net = backbone(lr_mult_list=[0.1, 1, 1, 2]).net
    assert net.layer1[0].conv1.weight.optimize_attr["learning_rate"] == 0.1
    assert net.layer4[0].conv1.weight.optimize_attr["learning_rate"] == 2


def test_pretrained_weights_of_a_classifier(tmp_path):
    classifier = ppeffconv.create_model("resnet18", num_classes=10, width=8)
    paddle.save(classifier.state_dict(), str(tmp_path / "w.pdparams"))
    net = backbone(pretrained=str(tmp_path / "w.pdparams"))
    np.testing.assert_array_equal(net.net.layer4[1].conv2.weight.numpy(), classifier.layer4[1].conv2.weight.numpy())
    with pytest.raises(ValueError, match="does not fit"):
        backbone(name="sp_resnet18", pretrained=str(tmp_path / "w.pdparams"))
    with pytest.raises(FileNotFoundError, match="no weights at"):
        backbone(pretrained=str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "resnet17"}, "unknown model 'resnet17'"),
        ({"name": "vgg16"}, "must be a ResNet of the ImageNet kind"),
        ({"name": "resnet20", "kwargs": {}}, "must be a ResNet of the ImageNet kind"),
        ({"kwargs": {"widht": 8}}, "Did you mean 'width'"),
        ({"return_idx": [4]}, "return_idx must be stages out of 0 to 3"),
        ({"return_idx": []}, "return_idx must be stages"),
        ({"freeze_at": 4}, "freeze_at must be"),
        ({"lr_mult_list": [1]}, "must hold 4 factors"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        backbone(**kwargs)


def detector(load, *overrides):
    from ppeffconv.integrations.ppdet import runner

    return runner.EffConvTrainer(load(*overrides), "train")


SAMPLED = ("EffConvResNet.name=sampled_resnet18", "EffConvResNet.auxiliary.sparse=0.5")


def test_the_density_loss_joins_the_total(load):
    trainer = detector(load, *SAMPLED)
    trainer.model.train()
    losses = {name: float(value) for name, value in trainer.model(next(iter(trainer.loader))).items()}
    sparse = float(trainer.model.backbone.auxiliary_losses()["sparse"])
    assert losses["loss_sparse"] == pytest.approx(0.5 * sparse)
    parts = [value for name, value in losses.items() if name.startswith("loss_")]
    assert losses["loss"] == pytest.approx(sum(parts), rel=1e-5)
    assert 0.9 < losses["density"] <= 1
    trainer.model.eval()
    assert "loss" not in trainer.model(next(iter(trainer.loader)))


def test_a_loss_that_the_network_does_not_offer(load):
    trainer = detector(load, "EffConvResNet.auxiliary.sparse=0.5")
    trainer.model.train()
    with pytest.raises(ValueError, match="offers no auxiliary loss 'sparse'"):
        trainer.model(next(iter(trainer.loader)))


def test_the_temperature_falls_with_every_step(load, monkeypatch):
    from ppeffconv.integrations.ppdet import callbacks

    seen = []

    def record(net, value):
        seen.append(value)
        return set_temperature(net, value)

    monkeypatch.setattr(callbacks, "set_temperature", record)
    trainer = detector(load, *SAMPLED, "epoch=2")
    trainer.train()
    assert seen == [temperature_at(step, 4) for step in range(4)]
    buffers = [value for name, value in trainer.model.state_dict().items() if name.endswith("cur_T")]
    assert buffers
    assert all(float(value) == pytest.approx(seen[-1]) for value in buffers)
