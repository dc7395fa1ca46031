"""The sampling authors' cost model: their numbers, and what each density costs."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.layers import density_report
from ppeffconv.models import FPN, expected_macs

# Their images are padded to multiples of 32, the network's stride, so that an image of n tiles of 32 x 32 costs n times
# what one tile does: https://github.com/zdaxie/SpatiallyAdaptiveInference-Detection, backbone alone.
TILES = {1000: 31 * 52, 800: 25 * 41, 600: 18 * 31, 500: 15 * 26}


@pytest.fixture(scope="module")
def resnet101():
    return ppeffconv.create_model("sampled_resnet101", deformable=True, features_only=True)


def giga(net, side, densities):
    return TILES[side] * expected_macs(net, (3, 32, 32), densities) / 1e9


@pytest.mark.parametrize(
    ("side", "densities", "published"),
    [(1000, None, 289.5), (800, None, 184.1), (600, None, 100.2), (500, None, 70.0), (1000, 1, 294.5), (1000, 0, 20.8)],
)
def test_resnet101_costs_what_the_authors_count(resnet101, side, densities, published):
    assert giga(resnet101, side, densities) == pytest.approx(published, abs=0.05)


def test_dense_baseline_is_the_sampled_network_without_masks(resnet101):
    dense = ppeffconv.create_model("resnet101", deformable=True, features_only=True)
    assert ppeffconv.profile(dense, (3, 32, 32)).macs == expected_macs(resnet101, (3, 32, 32), None)
    assert expected_macs(dense, (3, 32, 32), 0.5) == ppeffconv.profile(dense, (3, 32, 32)).macs  # nothing samples


def test_resnet50_costs_what_the_authors_count():
    net = ppeffconv.create_model("sampled_resnet50", deformable=True, features_only=True)
    assert giga(net, 1000, None) == pytest.approx(149.2, abs=0.05)


class Neck(nn.Layer):
    """A backbone that samples under a pyramid that does not."""

    def __init__(self, name):
        super().__init__()
        self.backbone = ppeffconv.create_model(name, features_only=True)
        self.neck = FPN(self.backbone.feature_channels, self.backbone.feature_strides, 8)

    def forward(self, x):
        return self.neck(self.backbone(x))


@pytest.mark.parametrize("name", ["sampled_resnet20", "gated_resnet20"])
def test_measured_densities(name):
    net, shape = Neck(name), (3, 17, 19)
    net(paddle.randn([2, *shape]))
    report = density_report(net)
    measured = {row.name: row.densities for row in report}
    others = expected_macs(net, shape, None) - sum(row.dense_macs for row in report)
    assert others > ppeffconv.profile(net.neck.lateral_convs[0], (16, 17, 19)).macs > 0
    assert expected_macs(net, shape, measured) == others + sum(row.macs for row in report)
    with pytest.raises(ValueError, match=r"see backbone\.layer1\.0"):
        expected_macs(net, shape, {name: shares for name, shares in measured.items() if "layer1.0" not in name})


def test_a_layer_that_runs_twice_costs_twice():
    class Twice(nn.Layer):
        def __init__(self):
            super().__init__()
            self.block = ppeffconv.layers.SampledBasicBlock(4, 4)

        def forward(self, x):
            return self.block(self.block(x))

    net = Twice()
    assert expected_macs(net, (4, 6, 5), 0.5) == 2 * expected_macs(net.block, (4, 6, 5), 0.5)
