"""What a layer takes, the engine takes: random arguments from all of a layer's ranges, on images of random sizes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv import layers
from ppeffconv.deployed import Deployed, NotLowerable, lower
from ppeffconv.deployed.shapes import MOST_TAPS
from ppeffconv.inference.exporter import export
from ppeffconv.inference.predictor import Predictor

from .networks import assert_same, images, need, run

DRAWS = 12
SIDES = (1, 2, 3, 5, 8, 13, 16, 33)
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 17, 24, 32, 48)
KERNELS = (1, 2, 3, (3, 3), 4, 5, (1, 3), (3, 1), (5, 2), 7)
WINDOW = {"kernel_size": KERNELS, "stride": (1, 1, 2, 3, (2, 1)), "padding": (0, 1, 2, (0, 1), 3)}
WINDOW |= {"dilation": (1, 1, 2, (1, 2))}
CONV = {"in_channels": WIDTHS, "out_channels": WIDTHS, **WINDOW, "groups": (1, 1, 1, 2, 3, 4, 16)}
POOL = {
    "kernel_size": (1, 2, 3, 5, (4, 31), (3, 2)),
    "stride": (None, 1, 2, 3, (2, 1)),
    "padding": (0, 0, 1, (1, 0), 2),
}
POOL |= {"ceil_mode": (False, True)}
Ranges = dict[str, tuple]


def chain(layer: nn.Layer) -> nn.Layer:
    """With a norm and an activation to fold."""
    return nn.Sequential(layer, nn.BatchNorm2D(layer.out_channels), nn.ReLU())


def depthwise(channels: int, **window: Any) -> nn.Layer:
    return nn.Conv2D(channels, channels, groups=channels, **window)


RANGES: dict[str, tuple[Callable[..., nn.Layer], Ranges]] = {
    "Conv2D": (nn.Conv2D, {**CONV, "bias_attr": (None, False)}),
    "depthwise": (depthwise, {"channels": WIDTHS, **WINDOW, "kernel_size": (*KERNELS, (1, 40), 34)}),
    "MaxPool2D": (nn.MaxPool2D, POOL),
    "AvgPool2D": (nn.AvgPool2D, POOL),
    "AdaptiveAvgPool2D": (nn.AdaptiveAvgPool2D, {"output_size": (1, 2, 7, (3, 5), 40)}),
    "VersatileConv2D": (
        layers.VersatileConv2D,
        {**CONV, "delta": (0, 0, 1, 2, 4, 5, 9, 12), "g": (1, 1, 2, 3, 4), "channel_mode": ("paper", "reference")}
        | {"bias_attr": (None, False)},
    ),
    "LearnedVersatileConv2D": (layers.LearnedVersatileConv2D, {**CONV, "s": (1, 2, 3, 4, 7), "shared": (False, True)}),
    "TensorOctConv2D": (
        layers.TensorOctConv2D,
        {"in_channels": WIDTHS, "out_channels": WIDTHS, "kernel_size": (1, 3, 5, (3, 1)), "stride": (1, 2)}
        | {"padding": (0, 1, 2, (1, 0)), "dilation": (1, 2), "alpha": (0.125, 0.25, 0.5, 0.75)},
    ),
    "SPConv2D": (
        layers.SPConv2D,
        {"in_channels": WIDTHS, "out_channels": WIDTHS, "stride": (1, 2), "ratio": (0.1, 0.25, 0.5, 0.9)}
        | {"groups": (1, 2, 3, 4), "dilation": (1, 2, 3), "pointwise_bias": (True, False)},
    ),
    "DDF2D": (
        layers.DDF2D,
        {"channels": WIDTHS, "kernel_size": (3, 5, 7), "stride": (1, 2, 3), "dilation": (1, 2, 3)}
        | {"heads": (1, 1, 2, 3, 4), "se_ratio": (0.01, 0.2, 1.5), "mode": ("mul", "add")},
    ),
    "DDFUpsample2D": (
        layers.DDFUpsample2D,
        {"channels": WIDTHS, "scale": (1, 2, 3, 4), "kernel_size": (3, 5), "dilation": (1, 2)}
        | {"heads": (1, 1, 2, 3), "mode": ("mul", "add"), "dw_kernel_size": (1, 3, 5)},
    ),
    "GhostConv2D": (
        layers.GhostConv2D,
        {**CONV, "ratio": (2, 3, 4), "dw_size": (1, 3, 5), "relu": (True, False)},
    ),
    "HetConv2D": (layers.HetConv2D, {**CONV, "groups": (1,), "p": (2, 3, 4, 8)}),
    "ReLUGatedConv2D": (layers.ReLUGatedConv2D, {**CONV, "shared": (True, False)}),
}


def draw(name: str, number: int) -> tuple[nn.Layer, paddle.Tensor, str] | None:
    """A layer and its images; None where these arguments are none of the layer's, or the images too small for it."""
    choose = random.Random(f"{name} {number}")
    make, ranges = RANGES[name]
    arguments = {key: choose.choice(options) for key, options in ranges.items()}
    shape = (choose.choice((1, 2)), *(choose.choice(SIDES) for _ in range(2)))
    if not _fits(arguments, shape[1:]):
        return None
    paddle.seed(number)
    try:
        layer = make(**arguments)
        channels = arguments.get("in_channels") or arguments.get("channels") or choose.choice(WIDTHS)
        x = images((shape[0], channels, *shape[1:]), seed=number)
        net = chain(layer) if hasattr(layer, "out_channels") and choose.random() < 0.5 else nn.Sequential(layer)
        if not any(hasattr(layer, key) for key in ("in_channels", "channels", "_in_channels")):
            net = nn.Sequential(nn.Conv2D(channels, channels, 1), *net)
        net.eval()
        if min(run(net, x).shape) < 1:
            return None
    except (ValueError, OSError, RuntimeError, AssertionError):
        return None
    return net, x, f"{name}({arguments}) on {x.shape}"


def _fits(arguments: dict[str, Any], size: tuple[int, int]) -> bool:
    """Whether a window fits into the images; of others Paddle's own kernels end the process."""
    keys = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    pairs = ((value, value) if isinstance(value := arguments.get(k) or keys[k], int) else value for k in keys)
    kernel, _, padding, dilation = pairs
    return all(n + 2 * p > d * (k - 1) for n, k, p, d in zip(size, kernel, padding, dilation))


def compare(net: nn.Layer, x: paddle.Tensor) -> Deployed:
    lowered = lower(net)
    deployed = Deployed(lowered.program, "cpu", returns=lowered.returns)
    expected = run(net, x)
    agree(run(deployed, x), expected)
    return deployed


def agree(got: paddle.Tensor, expected: paddle.Tensor) -> None:
    if np.isfinite(expected.numpy()).all() and float(expected.abs().max()) < 1e30:
        assert_same(got, expected)
    else:  # of windows that lie in the padding alone there is a lowest number, but no average
        np.testing.assert_allclose(np.nan_to_num(got), np.nan_to_num(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", RANGES)
def test_the_engine_takes_what_the_layer_takes(name):
    need("cpu")
    taken = 0
    for number in range(10 * DRAWS):
        case = draw(name, number)
        if case is None:
            continue
        net, x, what = case
        try:
            compare(net, x)
        except NotLowerable as error:
            pytest.fail(f"{what} is not lowered: {error}")
        except Exception as error:
            raise AssertionError(what) from error
        taken += 1
        if taken == DRAWS:
            break
    assert taken >= DRAWS // 2


@pytest.mark.parametrize("name", RANGES)
def test_so_does_what_is_exported(name, tmp_path):
    need("cpu")
    net, x, _ = next(case for number in range(1000) if (case := draw(name, number)))
    deployed = compare(net, x)
    if np.isfinite(run(net, x).numpy()).all():
        export(deployed, tmp_path / "net", x.shape[1:], fixed_size=True)
        agree(paddle.to_tensor(Predictor(tmp_path / "net").run(x.numpy())), run(net, x))


@pytest.mark.parametrize("delta", range(8))
@pytest.mark.parametrize("channel_mode", ["paper", "reference"])
def test_versatile_networks_of_any_delta(delta, channel_mode):
    need("cpu")
    paddle.seed(delta)
    net = ppeffconv.create_model("versatile_resnet20", delta=delta, channel_mode=channel_mode, num_classes=10)
    net.eval()
    compare(net, images((2, 3, 17, 15)))


@pytest.mark.parametrize(
    "layer",
    [nn.AvgPool2D(33), layers.DDF2D(4, kernel_size=33), layers.DDFUpsample2D(4, scale=64, guide_channels=None)],
)
def test_what_the_engine_cannot_take_has_no_deploy_form(layer):
    """The layer stays as it is."""
    with pytest.raises(NotLowerable, match="takes a (window of|factor) up to"):
        lower(nn.Sequential(nn.Conv2D(4, 4, 1), layer))
    assert MOST_TAPS < 33 * 33
