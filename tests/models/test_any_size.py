"""`paddle.jit.save` with sizes that are not known: one program for every height and width."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec

import ppeffconv
from ppeffconv import layers
from ppeffconv.models import FPN
from ppeffconv.models.resnet import ResNet


def pyramid(upsample: str) -> nn.Layer:
    backbone = ResNet((1, 1), False, stem="cifar", width=8, features_only=True)
    return nn.Sequential(backbone, FPN(backbone.feature_channels, backbone.feature_strides, 8, upsample=upsample))


NETWORKS = {
    "octconv": lambda: layers.TensorOctConv2D(3, 8, 3, padding=1),
    "octconv in a network of Paddle's": lambda: ppeffconv.create_model("oct_mobilenet_v2", scale=0.25, num_classes=3),
    "versatile, cropped": lambda: layers.VersatileConv2D(3, 8, 3),
    "ddf": lambda: layers.DDF2D(3, stride=2),
    "ddf, heads": lambda: layers.DDF2D(3, heads=3),
    "ddf-up": lambda: layers.DDFUpsample2D(3),
    "ddf-up, guided": lambda: ppeffconv.create_model("ddf_up_net", scale=2, channels=8),
    "carafe": lambda: layers.CARAFEUpsample2D(3, compressed_channels=4),
    "sampled": lambda: layers.SampledBasicBlock(3, 3, window=3, grid_stride=2, sampling="deterministic"),
    **{f"pyramid, {upsample}": (lambda upsample=upsample: pyramid(upsample)) for upsample in ("nearest", "ddf")},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_program_for_every_size(name, tmp_path):
    net = NETWORKS[name]()
    net.eval()
    channels = getattr(net, "in_channels", 3)
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=[InputSpec([None, channels, None, None], "float32")])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    loaded.eval()
    for batch, height, width in ((1, 32, 32), (2, 21, 17)):
        images = paddle.randn([batch, channels, height, width])
        expected, got = net(images), loaded(images)
        for exact, y in zip(*(v if isinstance(v, (list, tuple)) else [v] for v in (expected, got)), strict=True):
            assert y.shape == exact.shape
            np.testing.assert_allclose(y.numpy(), exact.numpy(), rtol=1e-4, atol=1e-5 * float(exact.abs().max()))
