"""Feature maps for dense prediction: every method, every output stride, odd sizes, under a pyramid."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.models import FPN

PREFIXES = ["", "oct_", "sp_", "versatile_", "ddf_", "sampled_", "gated_"]
STRIDES = {8: (4, 8, 8, 8), 16: (4, 8, 16, 16), 32: (4, 8, 16, 32)}


@pytest.mark.parametrize("output_stride", STRIDES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_pyramid_trains_on_every_backbone(prefix, output_stride):
    depth = 26 if prefix == "oct_" else 18
    net = ppeffconv.create_model(
        f"{prefix}resnet{depth}", features_only=True, output_stride=output_stride, width=8, in_channels=1
    )
    neck = FPN(net.feature_channels, net.feature_strides, 8)
    x = paddle.randn([1, 1, 67, 75])
    maps = net(x)
    assert net.feature_strides == STRIDES[output_stride]
    expected = [[1, width, -(-67 // s), -(-75 // s)] for width, s in zip(net.feature_channels, net.feature_strides)]
    assert [m.shape for m in maps] == expected
    losses = net.auxiliary_losses()
    assert set(losses) == ({"sparse"} if prefix == "sampled_" else set())
    sum([(m**2).mean() for m in neck(maps)] + list(losses.values())).backward()
    parameters = [*net.named_parameters(), *neck.named_parameters()]
    assert [name for name, p in parameters if not p.stop_gradient and p.grad is None] == []


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet50", {}),
        ("resnet18", {}),
        ("resnet50", {"deformable": True}),
        ("versatile_resnet18", {}),
        ("gated_resnet18", {}),
        ("sampled_resnet50", {"eval_mode": "deterministic"}),
    ],
)
def test_dilation_computes_what_the_strided_network_leaves_out(name, arguments, output_stride):
    """The hole algorithm: without a stride, and later kernels as much wider, the old outputs lie between new ones."""
    strided = ppeffconv.create_model(name, features_only=True, width=8, **arguments)
    dilated = ppeffconv.create_model(name, features_only=True, width=8, output_stride=output_stride, **arguments)
    x = paddle.randn([1, 3, 85, 71])
    for layer in strided.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer._momentum = 0.0  # the statistics become those of this image
    strided(x)
    dilated.set_state_dict(strided.state_dict())
    strided.eval()
    dilated.eval()
    with paddle.no_grad():
        pairs = zip(strided(x), dilated(x), strided.feature_strides, dilated.feature_strides)
    for expected, y, coarse, fine in pairs:
        step = coarse // fine
        np.testing.assert_allclose(y[:, :, ::step, ::step].numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
    assert coarse // fine == 32 // output_stride
