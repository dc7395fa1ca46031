"""`ops.deployed`: versatile filters, SPConv and decoupled dynamic filters, against plain Paddle."""

from __future__ import annotations

import numpy as np
import pytest

from .programs import DTYPES, Draft, check, compiled, images

pytestmark = compiled

NESTED = {
    "1x1": {"kernel": (1, 1)},
    "2x2": {"kernel": (2, 2), "padding": (1, 1)},
    "3x3": {"kernel": (3, 3), "padding": (1, 1), "act": "relu"},
    "4x4": {"kernel": (4, 4), "padding": (2, 2), "stride": (2, 2)},
    "5x5": {"kernel": (5, 5), "padding": (2, 2), "filters": 33},
    "7x7": {"kernel": (7, 7), "padding": (3, 3), "stride": (2, 1), "filters": 16},
    "3x5": {"kernel": (3, 5), "padding": (1, 2)},
    "7x4": {"kernel": (7, 4), "padding": (3, 3)},
    "no padding": {"kernel": (3, 3), "size": (13, 5)},
    "dilation": {"kernel": (3, 3), "padding": (2, 3), "dilation": (2, 3)},
    "surplus": {"kernel": (5, 5), "padding": (2, 2), "filters": 16, "cut": 15},
    "deep": {"kernel": (3, 3), "padding": (1, 1), "channels": 256, "filters": 33, "size": (5, 7)},
    "add": {"kernel": (3, 3), "padding": (1, 1), "filters": 33, "added": True, "act": "relu"},
    # large enough for Winograd in float32
    "by tiles": {"kernel": (3, 3), "padding": (1, 1), "channels": 33, "filters": 32, "size": (13, 15)},
    "by tiles and add": {
        "kernel": (3, 3),
        "padding": (1, 1),
        "channels": 70,
        "filters": 48,
        "cut": 7,
        "size": (17, 12),
        "added": True,
        "act": "relu6",
    },
    "by tiles on the inside": {"kernel": (3, 3), "channels": 33, "filters": 32, "size": (15, 16)},
    "half vectors": {"kernel": (3, 3), "padding": (1, 1), "channels": 16, "filters": 8, "act": "relu"},
    "half vectors, surplus": {"kernel": (5, 5), "padding": (2, 2), "filters": 8, "cut": 3, "added": True},
    "a few filters": {"kernel": (3, 3), "padding": (1, 1), "channels": 16, "filters": 4},
    "groups": {"kernel": (3, 3), "padding": (1, 1), "channels": 15, "filters": 10, "groups": 5},
    "groups of whole vectors": {"kernel": (3, 3), "padding": (1, 1), "channels": 64, "filters": 64, "groups": 2},
    "depthwise": {"kernel": (3, 3), "padding": (1, 1), "channels": 33, "filters": 33, "groups": 33},
}
WINDOWS = {
    "one less": {"delta": 1},
    "two less": {"delta": 2, "filters": 16, "kernel": (1, 1), "padding": (0, 0)},
    "by two": {"delta": 2, "g": 2},
    "by two, thrice": {"delta": 4, "g": 2, "filters": 33},
    "more than half": {"delta": 10, "g": 5},
    "all but one": {"channels": 5, "delta": 4, "g": 2},
    "many": {"delta": 9, "kernel": (5, 5), "padding": (2, 2)},
    "surplus": {"delta": 1, "cut": 4, "filters": 5},
    "deep": {"delta": 1, "channels": 256, "filters": 33, "size": (5, 7)},
    "stride and dilation": {"delta": 1, "stride": (1, 2), "dilation": (2, 1), "padding": (2, 1)},
    "add": {"delta": 2, "added": True, "act": "relu6"},
    "a few filters": {"delta": 1, "channels": 16, "filters": 4, "act": "relu"},
    "a few filters and stride": {"delta": 1, "channels": 16, "filters": 5, "stride": (2, 2), "cut": 3},
    "a few filters and add": {"delta": 2, "g": 2, "channels": 32, "filters": 8, "added": True},
    "deep and add": {"delta": 1, "channels": 256, "filters": 33, "size": (5, 7), "added": True},
}


def nested(net, kernel=(3, 3), filters=17, added=False, size=None, channels=None, **keys):
    """Of x; what is added has the same shape by a convolution."""
    y = net.nested("x", filters, kernel, **keys)
    if added:
        same = {key: keys[key] for key in ("stride", "padding", "dilation") if key in keys}
        other = net.conv("x", net.width(y), kernel, **same)
        y = net.nested("x", filters, kernel, add=other, **keys)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", NESTED)
def test_nested(case, dtype):
    net = Draft(NESTED[case].get("channels", 17), dtype)
    nested(net, **NESTED[case])
    check(net.program(), images(2, net.width("x"), NESTED[case].get("size", (7, 7))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["paper", "reference"])
@pytest.mark.parametrize("case", WINDOWS)
def test_nested_windows_over_the_channels(case, mode, dtype):
    keys = WINDOWS[case]
    net = Draft(keys.get("channels", 17), dtype)
    nested(net, **{"padding": (1, 1), "mode": mode, **keys})
    check(net.program(), images(2, net.width("x"), keys.get("size", (13, 5))))


SP = {
    "plain": {},
    "one heavy channel": {"heavy": 1, "channels": 5},
    "one light channel": {"heavy": 16},
    "whole vectors": {"channels": 64, "heavy": 32, "out": 64, "size": (33, 18)},
    "odd ratio": {"channels": 70, "heavy": 23, "out": 33},
    "two groups": {"heavy": 10, "out": 34, "groups": 2},
    "four groups": {"channels": 33, "heavy": 16, "out": 20, "groups": 4},
    "four groups of whole vectors": {"channels": 96, "heavy": 64, "out": 64, "groups": 4, "size": (7, 7)},
    "depthwise": {"heavy": 9, "out": 9, "groups": 9},
    "dilation": {"dilation": (2, 3)},
    "deep": {"channels": 300, "heavy": 270, "out": 70, "size": (5, 7)},
    "add": {"out": 17, "add": "x", "act": "relu"},
    "deep and add": {"channels": 300, "heavy": 270, "out": 300, "size": (5, 7), "add": "x"},
    # large enough for Winograd in float32
    "by tiles": {"channels": 50, "heavy": 32, "out": 48, "size": (15, 13)},
    "by tiles, in groups": {"channels": 70, "heavy": 64, "out": 96, "groups": 2, "size": (12, 17), "add": True},
    "relu6": {"act": "relu6"},
    "curved": {"act": "swish"},
    "narrow": {"channels": 16, "heavy": 8, "out": 16, "groups": 2, "size": (28, 28), "act": "relu"},
    "half a vector": {"channels": 16, "heavy": 8, "out": 8, "groups": 2},
    "one pixel": {"size": (1, 1)},
    "one row": {"size": (1, 9)},
    "many pixels": {"size": (90, 80), "batch": 1},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("case", SP)
def test_sp(case, stride, dtype):
    keys = {"out": 33, "heavy": 9, **SP[case]}
    size, batch, channels = keys.pop("size", (13, 6)), keys.pop("batch", 3), keys.pop("channels", 17)
    net = Draft(channels, dtype)
    if "add" in keys and (stride == 2 or keys["add"] is True):
        keys["add"] = net.conv("x", keys["out"], (3, 3), stride=(stride, stride), padding=(1, 1))
    net.sp("x", stride=(stride, stride), **keys)
    check(net.program(), images(batch, channels, size))


def test_sp_gates_are_of_each_image():
    """Means that differ from image to image, far from zero."""
    net = Draft(17)
    net.sp("x", 20, 9)
    x = images(3, 17, (13, 6))
    check(net.program(), x + np.arange(-1, 2).reshape(3, 1, 1, 1).astype("float32"))


def test_sp_gates_that_are_shut():
    """Means so far apart that one branch alone is left, of one image the first and of another the second."""
    net = Draft(17)
    net.sp("x", 20, 9)
    x = images(3, 17, (13, 6))
    check(net.program(), x * np.array([1e-3, 1e2, 1e4]).reshape(3, 1, 1, 1).astype("float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("channels", "taps", "batch"), [(9, 9, 1), (153, 9, 3), (25, 25, 2), (28, 4, 2), (6, 1, 1), (585, 9, 2)]
)
def test_filters(channels, taps, batch, dtype):
    """One tap is always its own mean: exactly 0."""
    net = Draft(channels, dtype)
    net.step("filters", "x", std=net.numbers(channels), taps=taps)
    x = images(batch, channels, (1, 1))
    x[-1, -taps:] = 0.3  # equal ones are exactly 0 too
    check(net.program(), x)


DDF = {
    "plain": {},
    "5x5": {"kernel": 5},
    "1x1": {"kernel": 1},
    "stride": {"stride": 2},
    "stride of 5x5": {"kernel": 5, "stride": 3},
    "dilation": {"dilation": 3},
    "one channel": {"channels": 1},
    "whole vectors": {"channels": 64},
    "heads of 5": {"channels": 15, "heads": 3},
    "heads of 16": {"channels": 48, "heads": 3},
    "heads of 33": {"channels": 66, "heads": 2},
    "heads of 1": {"channels": 5, "heads": 5},
    "add": {"added": True, "act": "relu"},
    "relu6": {"act": "relu6"},
    "up 2": {"up": 2},
    "up 3": {"up": 3, "kernel": 5, "act": "relu"},
    "up 2, heads and add": {"up": 2, "channels": 15, "heads": 3, "added": True},
    "one pixel": {"size": (1, 1)},
    "one row": {"size": (1, 9), "kernel": 5},
    "wide": {"size": (2, 80), "added": True},
    "wide, of stride and dilation": {"size": (4, 201), "stride": 2, "dilation": 2},
    "wide, up 2": {"size": (2, 90), "up": 2, "channels": 15, "heads": 3},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["mul", "add"])
@pytest.mark.parametrize("case", DDF)
def test_ddf(case, mode, dtype):
    keys = {"kernel": 3, "mode": mode, **DDF[case]}
    channels, size, added = keys.pop("channels", 17), keys.pop("size", (7, 6)), keys.pop("added", False)
    net = Draft(channels, dtype)
    if added:
        keys["add"] = net.conv(net.step("upsample", "x") if keys.get("up") else "x", channels)
    net.ddf("x", **keys)
    check(net.program(), images(2, channels, size))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["mul", "add"])
def test_ddf_by_channels_of_its_input(mode, dtype):
    """Filters that no convolution made."""
    net = Draft(17 + 17 * 9 + 9, dtype)
    x, logits, spatial = (net.step("slice", "x", first=f, count=c) for f, c in ((0, 17), (17, 153), (170, 9)))
    channel = net.step("filters", net.step("mean", logits), std=net.numbers(153), taps=9)
    keys = {"scale": net.numbers(17), "shift": net.numbers(17), "gain": 0.7, "heads": 1, "up": 1}
    net.step("ddf", x, channel=channel, spatial=spatial, kernel=3, stride=1, dilation=1, mode=mode, **keys)
    check(net.program(), images(2, 179, (7, 6)))
