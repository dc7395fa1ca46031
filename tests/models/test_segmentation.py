"""DilatedFPN: shapes at any size, its head by hand, deploy form, bad arguments."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

import ppeffconv
from ppeffconv.models import DilatedFPN


def build(name="resnet18", output_stride=8, **arguments):
    backbone = ppeffconv.create_model(name, features_only=True, output_stride=output_stride, width=8)
    return DilatedFPN(backbone, 5, **{"channels": 16, "head_channels": 12, **arguments})


@pytest.mark.parametrize("name", ["resnet18", "oct_resnet18", "sp_resnet50", "sampled_resnet50", "gated_resnet18"])
@pytest.mark.parametrize("size", [(33, 47), (8, 1)])
def test_logits_at_the_size_of_the_image(name, size):
    net = build(name)
    net.eval()
    assert net(paddle.randn([1, 3, *size])).shape == [1, 5, *size]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_the_head_by_hand(output_stride):
    """Convolution, BatchNorm and ReLU from their weights; the sum at the finest level; one resize to the image."""
    net = build(output_stride=output_stride)
    for layer in net.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer._mean.set_value(paddle.randn(layer._mean.shape))
    net.eval()
    x = paddle.randn([2, 3, 37, 50])
    levels = net.fpn(net.backbone(x))
    assert [level.shape[2] for level in levels] == [-(-37 // s) for s in net.fpn.feature_strides]
    total = np.zeros([2, 12, 10, 13], np.float32)
    for (conv, norm, _), level in zip(net.branches, levels):
        y = F.conv2d(level, conv.weight, padding=1)
        column = [v.reshape([1, -1, 1, 1]) for v in (norm._mean, norm._variance, norm.weight, norm.bias)]
        y = F.relu((y - column[0]) / paddle.sqrt(column[1] + norm._epsilon) * column[2] + column[3])
        total += F.interpolate(y, size=[10, 13], mode="bilinear").numpy()
    weight = net.classifier.weight.numpy()[:, :, 0, 0]
    logits = np.einsum("oc,nchw->nohw", weight, total) + net.classifier.bias.numpy()[:, None, None]
    expected = F.interpolate(paddle.to_tensor(logits), size=[37, 50], mode="bilinear").numpy()
    assert np.abs(net(x).numpy() - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["resnet18", "sampled_resnet18"])
def test_deploy_form(name):
    net = build(name)
    ppeffconv.layers.set_eval_mode(net, "deterministic")
    net.eval()
    x = paddle.randn([1, 3, 45, 39])
    expected = net(x).numpy()
    got = ppeffconv.deploy(net)(x).numpy()
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_gradients_reach_the_stem_and_the_masks():
    net = build("sampled_resnet18")
    loss = F.cross_entropy(net(paddle.randn([2, 3, 32, 32])), paddle.randint(0, 5, [2, 32, 32]), axis=1)
    (loss + net.auxiliary_losses()["sparse"]).backward()
    for parameter in (net.backbone.conv1.weight, net.backbone.layer4[1].conv2_mask.weight, net.classifier.bias):
        assert float(parameter.grad.abs().max()) > 0


def test_the_fpns_slots():
    net = build(fpn_kwargs={"conv": "sp", "upsample": "bilinear"})
    assert type(net.fpn.fpn_convs[0]).__name__ == "SPConv2D"
    assert net(paddle.randn([2, 3, 33, 33])).shape == [2, 5, 33, 33]


def test_bad_arguments():
    with pytest.raises(ValueError, match="features_only=True, got ResNet"):
        DilatedFPN(ppeffconv.create_model("resnet18", width=8), 5)
    with pytest.raises(ValueError, match="num_classes must be a positive integer, got 0"):
        DilatedFPN(ppeffconv.create_model("resnet18", width=8, features_only=True), 0)
