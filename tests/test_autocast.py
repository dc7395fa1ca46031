"""Every layer and kind of network under `paddle.amp.auto_cast` at O1, eagerly and traced, in both half types."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.layers import METHODS
from ppeffconv.models import FPN
from ppeffconv.models.resnet import ResNet

from .half_kernels import eager_auto_cast, half_kernels
from .layers.public import LAYERS, inputs_of

TYPES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
TOLERANCE = {"float16": 0.01, "bfloat16": 0.08}  # of the largest number; a dozen roundings behind one another


def small(method: str) -> nn.Layer:
    """A network with one block of each kind that a method has: the deeper ones repeat them."""
    return ResNet((1, 1), False, method=method, stem="cifar", width=8, num_classes=3)


def pyramid(upsample: str) -> nn.Layer:
    backbone = ResNet((1, 1), False, stem="cifar", width=8, features_only=True)
    return nn.Sequential(backbone, FPN(backbone.feature_channels, backbone.feature_strides, 8, upsample=upsample))


NETWORKS = {
    **{method: (lambda method=method: small(method)) for method in METHODS.list() if method != "oct"},
    "oct_resnet20": lambda: ppeffconv.create_model("oct_resnet20", num_classes=3, width=8),
    **{f"pyramid, {kind}": (lambda kind=kind: pyramid(kind)) for kind in ("nearest", "ddf", "carafe")},
    "ddf_up_net": lambda: ppeffconv.create_model("ddf_up_net", scale=2, channels=8),
}
COMPUTE = [f"pd_op.{name}" for name in ("conv2d", "depthwise_conv2d", "batch_norm_", "relu", "pool2d", "add", "matmul")]


class Under(nn.Layer):
    """A layer whose forward is under `auto_cast`."""

    def __init__(self, layer: nn.Layer, dtype: str) -> None:
        super().__init__()
        self.layer = layer
        self.dtype = dtype

    def forward(self, x, y=None):
        with paddle.amp.auto_cast(level="O1", dtype=self.dtype):
            return self.layer(x) if y is None else self.layer(x, y)


def trace(layer: nn.Layer, inputs: list, dtype: str):
    """The program of a layer that `auto_cast` is around, with the half kernels of a GPU."""
    with half_kernels():
        static = paddle.jit.to_static(Under(layer, dtype), full_graph=True)
        return static.forward.get_concrete_program(*inputs)[0]


def parts_of(y) -> list:
    return [part for part in (y if isinstance(y, (list, tuple)) else (y,)) if part is not None]


def run(layer: nn.Layer, inputs: list) -> tuple[list, list]:
    """Outputs and the gradients of the parameters of a scaled loss, as float32 arrays."""
    layer.clear_gradients()
    paddle.seed(1)
    outputs = parts_of(layer(*inputs))
    (2**8 * sum((part.astype("float32") ** 2).mean() for part in outputs)).backward()
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return [[t.astype("float32").numpy() for t in tensors] for tensors in (outputs, gradients)]


def check_eager(layer: nn.Layer, inputs: list, dtype: str) -> None:
    """Numbers as in float32 but for the rounding, and gradients for the same parameters, in their type."""
    expected, expected_gradients = run(layer, inputs)
    with half_kernels(), eager_auto_cast(dtype):
        got, gradients = run(layer, inputs)
    assert len(got) == len(expected)
    assert len(gradients) == len(expected_gradients)
    for y, exact in zip(got, expected):
        np.testing.assert_allclose(y, exact, atol=TOLERANCE[dtype] * max(abs(exact).max(), 1e-3), rtol=0)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
    error, size = (
        math.sqrt(sum(float((array**2).sum()) for array in arrays))
        for arrays in ([a - b for a, b in zip(gradients, expected_gradients)], expected_gradients)
    )
    assert error <= 4 * TOLERANCE[dtype] * size


@TYPES
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype):
    layer, inputs = LAYERS[name].build(), inputs_of(LAYERS[name])
    layer.eval()
    check_eager(layer, inputs, dtype)
    layer.train()
    assert trace(layer, inputs, dtype).outputs


@TYPES
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, dtype):
    net, images = NETWORKS[name](), paddle.randn([2, 4 if name == "ddf_up_net" else 3, 16, 16])
    if name == "sampled":  # where the noise decides, a rounding may
        net.eval()
    check_eager(net, [images], dtype)
    net.train()
    assert trace(net, [images], dtype).outputs


@TYPES
def test_an_accelerated_network_casts_where_paddle_does(dtype):
    """Op by op, with the type of every result."""
    plain = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1, bias_attr=False), nn.BatchNorm2D(8), nn.ReLU(), nn.Conv2D(8, 8, 3, groups=8),
        nn.BatchNorm2D(8), nn.MaxPool2D(2), nn.Conv2D(8, 4, 1), nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(4, 3)
    )  # fmt: skip
    images = paddle.randn([2, 3, 16, 16])

    def ops_of(net: nn.Layer) -> list:
        program = trace(net, [images], dtype)  # held, for the ops live no longer
        ops = program.main_program.global_block().ops
        return sorted((op.name(), *(str(value.dtype) for value in op.results())) for op in ops if op.name() in COMPUTE)

    expected = ops_of(plain)
    assert len(expected) > 8
    assert ops_of(ppeffconv.accelerate(plain)) == expected


def test_eager_casts_are_those_of_paddles_convolution():
    """The type of a result, with and without a bias, is that of Paddle's own layer."""
    x = paddle.randn([1, 4, 5, 5])
    for bias in (None, False):
        theirs = nn.Conv2D(4, 4, 3, bias_attr=bias)
        ours = ppeffconv.layers.Conv2D(4, 4, 3, bias_attr=bias)
        with half_kernels(), eager_auto_cast("bfloat16"):
            assert ours(x).dtype == theirs(x).dtype
