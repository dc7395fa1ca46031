"""Networks as training leaves them, and the comparison with their deploy form."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.layers import set_eval_mode
from ppeffconv.ops import loader

TOLERANCE = 1e-4  # of the standard deviation of the output
SIZES = ((1, 33, 47), (3, 40, 31))  # batch, height, width


def need(backend: str) -> None:
    """Skip a test of the engine where it is not built."""
    if backend != "reference" and "deployed" not in loader.library().ops:
        pytest.skip("the engine is not in the loaded library")


def images(shape, seed: int = 0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def trained(net: nn.Layer, channels: int = 3, size: tuple[int, int] = (33, 47)) -> nn.Layer:
    """In eval mode, with statistics of real data and random affine parameters, as a trained network has them."""
    random = np.random.default_rng(3)
    norms = [layer for layer in net.sublayers(include_self=True) if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        if norm.weight is not None:
            width = norm.weight.shape[0]
            norm.weight.set_value(random.uniform(0.5, 1.5, width).astype("float32"))
            norm.bias.set_value(random.normal(0, 0.2, width).astype("float32"))
        norm._momentum = 0.0  # the running statistics are those of the one batch
    _calm_blocks(net)
    _spread_masks(net)
    with paddle.no_grad():
        net.train()
        net(images((4, channels, *size), seed=1))
    for norm in norms:
        # channels that hardly vary on one small batch would make the network itself inexact in float32
        variance = norm._variance.numpy() * random.uniform(0.8, 1.2)
        norm._variance.set_value(np.maximum(variance, variance.mean() / 4))
    net.eval()
    return net


def _calm_blocks(net: nn.Layer) -> None:
    """Residual branches below their shortcuts, as training makes them: a random deep network multiplies rounding errors
    a thousandfold, dynamic filters most of all.
    """
    for block in net.sublayers():
        if hasattr(block, "downsample"):
            last = getattr(block, "bn3", None) or getattr(block, "bn2", None) or getattr(block, f"conv{block.depth}")
            for norm in last.sublayers(include_self=True):
                if isinstance(norm, nn.BatchNorm2D):
                    norm.weight.set_value(norm.weight * 0.2)


def _spread_masks(net: nn.Layer) -> None:
    """Mask branches whose logits lie around 0."""
    random = np.random.default_rng(4)
    for name, layer in net.named_sublayers(include_self=True):
        if name.endswith("_mask"):
            shape = layer.weight.shape
            weight = random.normal(0, 1, shape) / np.sqrt(shape[1])
            layer.weight.set_value((weight - weight.mean()).astype("float32"))
            layer.bias.set_value(np.zeros(1, "float32"))


def create(name: str, **arguments) -> nn.Layer:
    """A trained network with 10 classes and a seed, sampling without noise."""
    paddle.seed(0)
    if not arguments.get("features_only"):
        arguments["num_classes"] = 10
    net = ppeffconv.create_model(name, **arguments)
    set_eval_mode(net, "deterministic")
    return trained(net)


def run(net: nn.Layer, x: paddle.Tensor):
    with paddle.no_grad():
        return net(x)


def assert_same(got, expected, tolerance: float = TOLERANCE) -> None:
    """Tensors, lists and octave pairs that agree to ``tolerance`` of their spread."""
    if expected is None or got is None:
        assert got is expected
    elif isinstance(expected, (list, tuple)):
        assert isinstance(got, type(expected))
        assert len(got) == len(expected)
        for a, b in zip(got, expected):
            assert_same(a, b, tolerance)
    else:
        assert got.shape == expected.shape
        spread = float(expected.std()) if expected.size > 1 else 1.0
        assert np.isfinite(spread)
        assert float((got - expected).abs().max()) <= tolerance * spread


def check(net: nn.Layer, deployed: nn.Layer, channels: int = 3, sizes=SIZES, tolerance: float = TOLERANCE) -> None:
    """``deployed`` computes what ``net`` computes."""
    for batch, height, width in sizes:
        x = images((batch, channels, height, width), seed=batch)
        assert_same(run(deployed, x), run(net, x), tolerance)
