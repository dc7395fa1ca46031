"""Padding around a layer that pads evenly, against Paddle's own."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.layers.padded import Padded

PADDINGS = ["SAME", (0, 0, 0, 0), (1, 2, 1, 1), (0, 1, 2, 0), (3, 0, 0, 4)]


def pair_of(kernel, stride, padding, dilation=1):
    """A convolution of Paddle with a padding, and one that pads evenly with that around it, with the same weights."""
    dense = nn.Conv2D(2, 3, kernel, stride, "SAME" if padding == "SAME" else list(padding), dilation)
    even = tuple(dilation * (k - 1) // 2 for k in kernel)
    layer = nn.Conv2D(2, 3, kernel, stride, list(even), dilation)
    layer.set_state_dict(dense.state_dict())
    return dense, Padded(layer, kernel, (stride, stride), (dilation, dilation), even, padding)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 5), (7, 3)])
def test_every_window_is_paddles(kernel, stride, padding):
    dense, padded = pair_of(kernel, stride, padding)
    for height in (7, 8, 9):
        x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 2, height, height + 1)).astype("float32"))
        expected = dense(x)
        got = padded(x)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_dilation(stride):
    dense, padded = pair_of((3, 3), stride, (3, 1, 2, 0), dilation=2)
    x = paddle.rand([1, 2, 9, 10])
    np.testing.assert_allclose(padded(x).numpy(), dense(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 3), 2, "SAME"), ((4, 4), 1, "SAME"), ((3, 3), 2, (0, 1, 0, 1))]
)
def test_traced_for_any_size(kernel, stride, padding, tmp_path):
    dense, padded = pair_of(kernel, stride, padding)
    padded.eval()
    spec = [paddle.static.InputSpec([None, 2, None, None], "float32")]
    paddle.jit.save(padded, str(tmp_path / "net"), input_spec=spec)
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for height in (8, 9):
        x = paddle.rand([2, 2, height, height + 3])
        np.testing.assert_allclose(loaded(x).numpy(), dense(x).numpy(), atol=1e-5)


def test_gradients_reach_the_layer():
    _, padded = pair_of((3, 3), 2, "SAME")
    x = paddle.rand([1, 2, 8, 8])
    x.stop_gradient = False
    padded(x).sum().backward()
    assert float(padded.layer.weight.grad.abs().sum()) > 0
    assert x.grad.shape == x.shape
