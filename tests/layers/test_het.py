"""HetConv2D: against the full kernel it stands for, exact weight counts, export and errors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle.static import InputSpec

from ppeffconv.layers.het import HetConv2D


def images(shape=(2, 8, 9, 7), seed=0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def full_kernel(layer: HetConv2D, p: int) -> np.ndarray:
    """The dense [out, in, k, k] kernel: k x k on each filter's own block, a centre tap on every other channel."""
    grouped, pointwise = layer.gwc.weight.numpy(), layer.pointwise.numpy()[:, :, 0, 0]
    out, block, kh, kw = grouped.shape
    kernel = np.zeros((out, block * p, kh, kw), "float32")
    for f in range(out):
        group, rest = f // (out // p), list(pointwise[f])
        for channel in range(block * p):
            if channel // block == group:
                kernel[f, channel] = grouped[f, channel % block]
            else:
                kernel[f, channel, kh // 2, kw // 2] = rest.pop(0)
        assert not rest
    return kernel


@pytest.mark.parametrize("p", [2, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (5, 1, 2, 1), (3, 1, 0, 2), ((1, 3), 2, 2, 1)],
)
def test_equals_one_convolution_with_the_full_kernel(p, kernel, stride, padding, dilation):
    layer, x = HetConv2D(8, 12, kernel, stride, padding, dilation, bias_attr=None, p=p), images()
    expected = F.conv2d(x, paddle.to_tensor(full_kernel(layer, p)), layer.gwc.bias, stride, padding, dilation)
    np.testing.assert_allclose(layer(x).numpy(), expected.numpy(), atol=1e-5)


def test_gradients_equal_those_of_the_full_kernel():
    layer, x = HetConv2D(8, 12, padding=1), images()
    kernel = paddle.to_tensor(full_kernel(layer, 4), stop_gradient=False)
    F.conv2d(x, kernel, padding=1).square().sum().backward()
    layer(x).square().sum().backward()
    grad = kernel.grad.numpy()
    own = np.stack([grad[f, f // 3 * 2 : f // 3 * 2 + 2] for f in range(12)])
    others = np.stack([np.delete(grad[f, :, 1, 1], [f // 3 * 2, f // 3 * 2 + 1]) for f in range(12)])
    np.testing.assert_allclose(layer.gwc.weight.grad.numpy(), own, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(layer.pointwise.grad.numpy()[:, :, 0, 0], others, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("p", [2, 4, 8])
def test_weights_and_macs_are_the_papers_count(p):
    layer = HetConv2D(64, 128, padding=1, stride=2, p=p)
    weights = sum(parameter.size for parameter in layer.parameters())
    assert weights == 64 * 128 * (9 + p - 1) // p
    x = images((2, 64, 5, 5))
    y = layer(x)
    assert y.shape == [2, 128, 3, 3]
    assert layer.extra_macs(x, y) + 2 * 9 * layer.gwc.weight.size == 2 * 9 * weights


@pytest.mark.parametrize(("p", "millions"), [(4, 5.17), (8, 3.54)])
def test_weights_of_the_vgg16_comparator(p, millions):
    """All convolutions of VGG-16 but the first, with its head (SPConv article, table of CIFAR-10)."""
    widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    count = 3 * 64 * 9 + 512 * 512 + 512 + 512 * 10 + 10
    for width_in, width_out in pairwise(widths):
        count += sum(parameter.size for parameter in HetConv2D(width_in, width_out, p=p).parameters())
    assert round(count / 1e6, 2) == millions


def test_saved_graph_equals_the_layer(tmp_path):
    layer = HetConv2D(8, 12, stride=2, padding=1)
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "net"), [InputSpec([None, 8, None, None], "float32")])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    x = images((1, 8, 6, 5))
    np.testing.assert_allclose(loaded(x).numpy(), layer(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 3}, "p=3 must divide in_channels=8 and out_channels=12"),
        ({"p": 8}, "p=8 must divide"),
        ({"p": 1}, r"p must be an integer >= 2 \(1 is the plain convolution\), got 1"),
        ({"groups": 2}, "groups must be 1, got 2"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        HetConv2D(8, 12, **options)


def test_wrong_width_is_explained():
    with pytest.raises(ValueError, match=r"HetConv2D expects input \[N, 8, H, W\], got \[2, 4, 5, 5\]"):
        HetConv2D(8, 12)(images((2, 4, 5, 5)))
