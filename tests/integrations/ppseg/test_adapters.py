"""Our networks as PaddleSeg's, and what they add to its training."""

from __future__ import annotations

import paddle
import pytest

from ppeffconv.layers import GumbelSampler, temperature_at


def build(kind: str, component: str, /, **arguments):
    from paddleseg.cvlibs import manager

    return getattr(manager, kind)[component](**arguments)


@pytest.mark.parametrize("name", ["resnet18", "oct_resnet18", "sp_resnet18", "ddf_resnet50", "sampled_resnet50"])
def test_backbone_gives_the_maps_it_promises(name):
    net = build("BACKBONES", "EffConvResNet", name=name, output_stride=16, kwargs={"width": 8})
    maps = net(paddle.randn([1, 3, 37, 51]))
    assert [m.shape[1] for m in maps] == net.feat_channels
    assert [m.shape[2:] for m in maps] == [[-(-37 // s), -(-51 // s)] for s in (4, 8, 16, 16)]


@pytest.mark.parametrize("size", [(37, 51), (5, 7), (1, 1)])
def test_model_gives_logits_at_the_images_size(size):
    backbone = build("BACKBONES", "EffConvResNet", name="resnet18", kwargs={"width": 8})
    model = build("MODELS", "DilatedFPN", num_classes=3, backbone=backbone, channels=8, head_channels=8)
    model.eval()  # BatchNorm has no statistics of a single pixel
    (logits,) = model(paddle.randn([1, 3, *size]))
    assert logits.shape == [1, 3, *size]


@pytest.mark.parametrize("name", ["resnet18", "sampled_resnet18"])
def test_the_model_is_one_program(name):
    import ppeffconv

    backbone = build("BACKBONES", "EffConvResNet", name=name, output_stride=8, kwargs={"width": 8})
    model = build("MODELS", "DilatedFPN", num_classes=3, backbone=backbone, channels=8, head_channels=8)
    ppeffconv.layers.set_eval_mode(model, "deterministic")
    model.eval()
    deployed = ppeffconv.deploy(model)
    assert isinstance(deployed, ppeffconv.deployed.Deployed)
    x = paddle.randn([2, 3, 37, 51])
    (expected,), (got,) = model(x), deployed(x)
    assert float((got - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_it_is_a_backbone_for_paddlesegs_own_models():
    backbone = build("BACKBONES", "EffConvResNet", name="oct_resnet18", kwargs={"width": 8})
    options = {"aspp_ratios": (1, 2), "aspp_out_channels": 256, "backbone_indices": (0, 3)}
    model = build("MODELS", "DeepLabV3P", num_classes=3, backbone=backbone, **options)
    (logits,) = model(paddle.randn([2, 3, 33, 40]))
    assert logits.shape == [2, 3, 33, 40]
    logits.sum().backward()
    assert float(backbone.net.conv1.weight.grad.abs().max()) > 0


def test_weights_of_a_classifier(tmp_path):
    import ppeffconv

    net = ppeffconv.create_model("resnet18", num_classes=7, width=8)
    paddle.save(net.state_dict(), str(tmp_path / "w.pdparams"))
    backbone = build(
        "BACKBONES",
        "EffConvResNet",
        name="resnet18",
        kwargs={"width": 8},
        pretrained=str(tmp_path / "w.pdparams"),
    )
    assert backbone.net.layer4[1].conv2.weight.tolist() == net.layer4[1].conv2.weight.tolist()
    with pytest.raises(ValueError, match="does not fit ResNet"):
        build("BACKBONES", "EffConvResNet", name="resnet18", pretrained=str(tmp_path / "w.pdparams"))
    with pytest.raises(FileNotFoundError, match="no weights at"):
        build("BACKBONES", "EffConvResNet", name="resnet18", pretrained=str(tmp_path / "none"))


def test_a_sampled_network_starts_from_the_dense_one(tmp_path, caplog):
    def dilated_fpn(name, **options):
        backbone = build("BACKBONES", "EffConvResNet", name=name, kwargs={"width": 8})
        return build("MODELS", "DilatedFPN", num_classes=3, backbone=backbone, channels=16, head_channels=8, **options)

    dense = dilated_fpn("resnet18")
    paddle.save(dense.state_dict(), str(tmp_path / "w.pdparams"))
    sampled = dilated_fpn("sampled_resnet18", pretrained=str(tmp_path / "w.pdparams"))
    own = sampled.state_dict()
    assert all(own[key].tolist() == value.tolist() for key, value in dense.state_dict().items())
    assert f"{len(dense.state_dict())} of {len(own)} tensors come from" in caplog.text
    paddle.save({"other": paddle.zeros([1])}, str(tmp_path / "other.pdparams"))
    with pytest.raises(ValueError, match="no layer of .* fits this DilatedFPN"):
        dilated_fpn("resnet18", pretrained=str(tmp_path / "other.pdparams"))


@pytest.mark.parametrize("name", ["vgg16", "uniform_resnet18"])
def test_what_is_no_backbone(name):
    with pytest.raises(ValueError, match="name must be a ResNet"):
        build("BACKBONES", "EffConvResNet", name=name)


def test_the_density_loss_joins_the_total_of_any_model():
    from paddleseg.models.losses import CrossEntropyLoss

    from ppeffconv.integrations.ppseg.losses import join_auxiliary_losses, total_losses

    options = {"name": "sampled_resnet18", "kwargs": {"width": 8}, "auxiliary": {"sparse": 0.5}}
    backbone = build("BACKBONES", "EffConvResNet", **options)
    model = build("MODELS", "DilatedFPN", num_classes=3, backbone=backbone, channels=8, head_channels=8)
    losses = {"types": [CrossEntropyLoss()], "coef": [2]}
    data = {"label": paddle.randint(0, 3, [2, 32, 32])}
    logits = model(paddle.randn([2, 3, 32, 32]))
    (plain,) = total_losses(model, logits, losses, data)
    join_auxiliary_losses(model)
    first, second = total_losses(model, logits, losses, data)
    assert (first.shape, second.shape) == ([1], [1])  # the loop takes their first element
    assert float(first) == float(plain)
    assert float(second) == pytest.approx(0.5 * float(model.auxiliary_losses()["sparse"]))
    second.backward()
    assert float(backbone.net.layer1[0].conv1_mask.weight.grad.abs().max()) > 0


def test_a_loss_that_the_network_does_not_offer():
    from ppeffconv.integrations.ppseg.losses import weighted_losses

    net = build("BACKBONES", "EffConvResNet", name="sampled_resnet18", kwargs={"width": 8}).net
    net(paddle.randn([1, 3, 16, 16]))
    with pytest.raises(ValueError, match=r"offers no auxiliary loss 'sprase'. Did you mean 'sparse'"):
        weighted_losses(net, {"sprase": 1})


def test_the_temperature_follows_the_step(capsys):
    from ppeffconv.integrations.ppseg.losses import SamplingTemperature

    net = build("BACKBONES", "EffConvResNet", name="sampled_resnet18", kwargs={"width": 8})
    sampler = next(layer for layer in net.sublayers() if isinstance(layer, GumbelSampler))
    SamplingTemperature(net, total_steps=10, step=4, log_steps=2)  # as in a run that is resumed
    for step in (4, 5):
        net(paddle.randn([1, 3, 16, 16]))
        assert float(sampler.cur_T) == pytest.approx(temperature_at(step, 10))
        net.eval()
        net(paddle.randn([1, 3, 16, 16]))  # an evaluation between does not count
        net.train()
    assert f"iter: 6, temperature: {temperature_at(5, 10):.4f}, density: 0." in capsys.readouterr().out
