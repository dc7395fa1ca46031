"""Sampled blocks in the place of residual ones: at density 1 nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
from paddle import nn
from paddle.vision.models import resnet18, vgg11
from paddle.vision.models.resnet import BasicBlock, BottleneckBlock

import ppeffconv
from ppeffconv.layers import SampledBasicBlock, SampledBottleneck, density, density_report
from ppeffconv.layers.gumbel import set_eval_mode

from .networks import check_trains, images, randomise, same, state


class OneBlock(nn.Layer):
    """A user's network around a block of paddle.vision."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return self.block(x)


def projected(kind, width, out, **kwargs):
    shortcut = nn.Sequential(nn.Conv2D(width, out, 1, stride=2, bias_attr=False), nn.BatchNorm2D(out))
    return kind(width, out // kind.expansion, 2, shortcut, **kwargs)


@pytest.mark.parametrize(
    "block",
    [
        lambda: BasicBlock(8, 8),
        lambda: projected(BasicBlock, 8, 16),
        lambda: BottleneckBlock(16, 4),
        lambda: projected(BottleneckBlock, 8, 16),
        lambda: BottleneckBlock(16, 4, groups=2, base_width=64),
        lambda: BottleneckBlock(16, 4, base_width=128, dilation=2),
        lambda: ppeffconv.create_model("resnet20").layer2[0],
        lambda: ppeffconv.create_model("resnet50", num_classes=2).layer1[1],
        lambda: ppeffconv.create_model("resnet18", width=8, output_stride=8).layer4[0],
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_at_density_one_nothing_changes(block, training):
    net = randomise(OneBlock(block()))
    (net.train if training else net.eval)()
    channels = net.block.conv1._in_channels
    new = ppeffconv.convert(net, "sampling", grid_stride=1, input_shape=(channels, 9, 9))
    assert isinstance(new.block, (SampledBasicBlock, SampledBottleneck))
    assert new.block.training == training
    x = images(2, channels, 9, 7)
    same(new(x), net(x), 1e-6)
    assert density(new) == 1
    assert [row.weights for row in new.conversion.layers] == ["exact"]


def test_all_weights_are_carried_and_the_masks_are_new():
    net = randomise(resnet18(num_classes=3))
    new = ppeffconv.convert(net, "sampling", window=5, input_shape=(3, 33, 35))
    old, now = state(net), state(new)
    assert all(np.array_equal(value, now[name]) for name, value in old.items())
    added = {name.split(".")[-2] if "mask" in name else name.split(".")[-1] for name in set(now) - set(old)}
    assert added == {"conv1_mask", "conv2_mask", "cur_T", "conv1_sigma", "conv2_sigma"}
    assert new.layer1[0].window == 5
    check_trains(new, images(2, 3, 33, 35))
    assert set(new.auxiliary_losses()) == {"sparse"}
    new.eval()
    set_eval_mode(new, "hard")
    new(images(1, 3, 33, 35))
    assert 0.5 < density(new) <= 1
    assert len(density_report(new)) == 8
    assert "density_report" in str(new.conversion)


def test_the_loss_finds_the_network_of_another_origin():
    new = ppeffconv.convert(OneBlock(BasicBlock(8, 8)), "sampling", input_shape=(8, 9, 9))
    loss = ppeffconv.losses.AuxiliaryLoss(lambda y, label: y.mean(), new, {"sparse": 0.1})
    loss(new(images(1, 8, 9, 9)), None).backward()
    assert new.block.conv1_mask.bias.grad is not None


def test_frozen_and_shared_layers_stay_so():
    net = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8))
    net[1].conv2 = net[0].conv2
    net[0].conv1.weight.stop_gradient = True
    net[0].bn1.eval()
    new = ppeffconv.convert(net, "sampling", input_shape=(8, 9, 9))
    assert new[1].conv2 is new[0].conv2
    assert new[0].conv1.weight.stop_gradient
    assert not new[0].bn1.training
    assert new[0].bn2.training


def test_what_stays_and_why():
    net = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8), BasicBlock(8, 8), BasicBlock(8, 8), SampledBasicBlock(8, 8))
    net[1].conv1 = nn.Conv2D(8, 8, 5, padding=2, bias_attr=False)
    net[2].register_forward_pre_hook(lambda layer, inputs: None)
    report = ppeffconv.convert(net, "sampling", exclude="3", input_shape=(8, 9, 9)).conversion
    assert [row.name for row in report.replaced] == ["0"]
    reasons = ["conv1 is not the 3x3", "has hooks", "excluded", "is converted already"]
    assert all(part in row.reason for part, row in zip(reasons, report.kept, strict=True))


def test_networks_without_residual_blocks():
    with pytest.raises(
        ValueError, match="works on residual blocks.* and VGG has none that is known here: paddle.vision"
    ):
        ppeffconv.convert(vgg11(num_classes=3), "sampling")
    with pytest.raises(ValueError, match="include='layer5.*' matches no layer"):
        ppeffconv.convert(resnet18(num_classes=3), "sampling", include="layer5.*")


def test_a_subclass_with_another_forward_is_no_known_block():
    class Scaled(BasicBlock):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(ValueError, match="works on residual blocks"):
        ppeffconv.convert(Scaled(8, 8), "sampling")
