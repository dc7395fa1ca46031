"""`build_conv`: every method in one slot, and the reasons why some cannot fill it."""

from __future__ import annotations

import paddle
import pytest

from ppeffconv.layers import METHODS, build_conv

TENSOR_METHODS = ["plain", "sp", "versatile", "learned_versatile", "ddf_separable", "gated", "ghost", "het"]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("method", TENSOR_METHODS)
def test_fills_a_slot_on_odd_sizes(method, stride):
    conv = build_conv(method, 8, 12, 3, stride)
    for size in ([7, 9], [8, 6]):
        y = conv(paddle.randn([1, 8, *size]))
        assert y.shape == [1, 12, -(-size[0] // stride), -(-size[1] // stride)]


def test_ddf_keeps_the_width():
    assert build_conv("ddf", 8, 8, 5, 2, dilation=2)(paddle.randn([1, 8, 7, 7])).shape == [1, 8, 4, 4]


def test_oct_maps_pairs():
    high, low = build_conv("oct", 8, 8, alpha_in=0, alpha_out=0.25)(paddle.randn([1, 8, 7, 7]))
    assert (high.shape, low.shape) == ([1, 6, 7, 7], [1, 2, 4, 4])


def test_own_arguments_reach_the_layer():
    assert build_conv("sp", 16, 16, ratio=0.25).representative == 4
    assert build_conv("versatile", 8, 8, 3, delta=1).channel_filters == 2
    assert build_conv("ddf", 8, 8, mode="add", se_ratio=0.5).mode == "add"


@pytest.mark.parametrize(
    ("method", "arguments", "reason"),
    [
        ("ddf", {"out_channels": 16}, "cannot change the width"),
        ("ddf", {"padding": 0}, "keeps the size"),
        ("ddf", {"groups": 2}, "groups must be 1"),
        ("ddf", {"bias_attr": None}, "no bias of its own"),
        ("ddf", {"stride": (1, 2)}, "same stride on both axes"),
        ("sp", {"kernel_size": 5}, "replaces 3x3"),
        ("sp", {"stride": 3}, "stride must be 1 or 2"),
        ("sampled", {}, "whole residual block"),
        ("oct", {"stride": 3}, "stride must be 1 or 2"),
        ("het", {"in_channels": 6}, "p"),
        ("versatile", {"groups": 8}, "does not divide"),
        ("sp", {"ratoi": 0.5}, "Did you mean 'ratio'"),
        ("plain", {"ratio": 0.5}, "no argument 'ratio'"),
        ("octave", {}, "unknown conv method 'octave'. Did you mean 'oct'"),
    ],
)
def test_says_why_not(method, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        build_conv(method, **{"in_channels": 8, "out_channels": 8, **arguments})


def test_every_method_is_covered_here():
    assert set(METHODS.list()) == {*TENSOR_METHODS, "ddf", "oct", "sampled"}
