"""`ops.deployed`: convolutions and everything else that any network has, against plain Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.deployed.steps import ACTIVATIONS
from ppeffconv.ops.deployed import deployed, release

from .programs import DTYPES, Draft, by_engine, check, compiled, everything, fingerprint, images

pytestmark = compiled
SHAPES = [(1, (1, 1), 1), (3, (7, 7), 3), (5, (1, 9), 3), (16, (13, 5), 1), (17, (33, 18), 1), (33, (7, 7), 3)]
SHAPES += [(70, (13, 5), 2)]  # channels, size, batch

SAME = {"kernel": (3, 3), "padding": (1, 1)}
CONVS = {
    "1x1": {},
    "1x1 to one channel": {"out": 1},
    "3x3": SAME,
    "5x2": {"kernel": (5, 2), "padding": (2, 1)},
    "7x7 over all": {"kernel": (7, 7), "size": (7, 7), "out": 70},
    "stride (1, 2)": {**SAME, "stride": (1, 2)},
    "1x1 of stride 2": {"stride": (2, 2), "size": (33, 18)},
    "stride beyond the kernel": {"kernel": (2, 2), "stride": (5, 4)},
    "dilation": {"kernel": (3, 3), "dilation": (2, 3), "padding": (2, 3)},
    "no padding": {"kernel": (3, 3)},
    "padding beyond the kernel": {"kernel": (3, 3), "padding": (4, 6), "size": (1, 9)},
    "padding of 1x1": {"padding": (1, 2)},
    "one pixel": {**SAME, "size": (1, 1), "batch": 3},
    "no bias": {**SAME, "bias": False},
    **{act: {**SAME, "act": act} for act in ACTIVATIONS[1:]},
    "by tiles": {**SAME, "channels": 32, "out": 32, "size": (13, 12), "act": "relu"},
    "by tiles, concatenated": {**SAME, "channels": (37, 5, 16), "out": 80, "size": (33, 18), "act": "relu6"},
    "by tiles, much weight": {**SAME, "channels": 130, "out": 112, "size": (15, 15), "bias": False},
    "by tiles, little padding": {**SAME, "channels": 33, "out": 48, "size": (2, 161), "padding": (1, 0)},
    "by tiles, much padding": {**SAME, "channels": 33, "out": 48, "size": (9, 6), "padding": (3, 5)},
    "by tiles, padded": {**SAME, "channels": 16, "out": 24, "size": (13, 12), "act": "relu"},
    "many columns": {"channels": 33, "out": 333, "act": "relu"},
    "half a vector": {**SAME, "out": 8, "act": "relu6"},
    "less than half a vector": {**SAME, "out": 3},
    "half a vector, curved": {**SAME, "out": 8, "act": "swish"},
    "half a vector, cut into phases": {"channels": 1000, "out": 7, "size": (5, 7)},
    "whole vectors": {"channels": 32, "out": 64, "size": (33, 18), "act": "relu"},
    "whole vectors, curved": {"channels": 32, "out": 64, "size": (33, 18), "act": "swish"},
    "by tiles, curved": {**SAME, "channels": 32, "out": 33, "size": (13, 12), "act": "sigmoid"},
    "depthwise, curved": {**SAME, "channels": 33, "out": 33, "groups": 33, "act": "hardswish"},
    "cut into phases": {**SAME, "channels": 256, "out": 70, "size": (5, 7)},
    "wide, cut into phases": {"channels": 1700, "out": 4200, "size": (1, 1), "batch": 1},
    "two groups": {**SAME, "channels": 34, "out": 66, "groups": 2},
    "groups of 3 and 5": {**SAME, "channels": 15, "out": 25, "groups": 5, "act": "relu"},
    "groups of whole vectors": {**SAME, "channels": 64, "out": 64, "groups": 4},
    "groups that fill vectors together": {**SAME, "channels": 48, "out": 48, "groups": 12},
    "groups of half vectors": {**SAME, "channels": 15, "out": 24, "groups": 3, "act": "relu"},
    "groups that fill half vectors together": {**SAME, "channels": 16, "out": 32, "groups": 8},
    "depthwise": {**SAME, "channels": 33, "out": 33, "groups": 33, "act": "relu6"},
    "depthwise, wide": {**SAME, "channels": 33, "out": 33, "groups": 33, "size": (3, 150)},
    "depthwise of stride and dilation": {"kernel": (3, 5), "stride": (2, 1), "padding": (3, 4), "dilation": (3, 2)}
    | {"channels": 70, "out": 70, "groups": 70, "bias": False},
    "depthwise multiplier": {**SAME, "channels": 17, "out": 51, "groups": 17},
    "concatenated": {**SAME, "channels": (5, 33, 1)},
    "concatenated, cut into phases": {**SAME, "channels": (150, 97), "size": (5, 7)},
    **{f"input of {c}": {**SAME, "channels": c, "direct": True, "act": "relu"} for c in (1, 3, 4, 7, 15, 16, 20)},
    "stem": {"kernel": (7, 7), "stride": (2, 2), "padding": (3, 3), "channels": 3, "out": 64, "size": (33, 18)}
    | {"direct": True, "act": "relu"},
    "stem of another shape": {"kernel": (2, 5), "stride": (1, 2), "padding": (3, 0), "channels": 4, "direct": True},
    "patches": {"kernel": (4, 4), "stride": (4, 4), "channels": 3, "direct": True, "size": (33, 18)},
    "dilated input": {"kernel": (3, 3), "dilation": (2, 1), "padding": (2, 1), "channels": 3, "direct": True},
}


def convolve(net, channels=17, direct=False, out=33, size=None, batch=None, **keys):
    """A convolution of x, or of slices of it; `direct`: the program's first step reads x itself."""
    widths = channels if isinstance(channels, tuple) else (channels,)
    firsts = np.cumsum((0, *widths))
    maps = [net.step("slice", "x", first=int(first), count=width) for first, width in zip(firsts, widths)]
    return net.conv("x" if direct else maps, out, **keys)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVS)
def test_conv(case, dtype):
    keys = CONVS[case]
    net = Draft(int(np.sum(keys.get("channels", 17))), dtype)
    if keys.get("direct"):
        net.conv("x", **{"out": 33} | {k: v for k, v in keys.items() if k not in ("channels", "direct", "size")})
    else:
        convolve(net, **keys)
    check(net.program(), images(keys.get("batch", 2), net.width("x"), keys.get("size", (13, 5))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("channels", "size"), [(5, (13, 5)), (16, (1, 9)), (33, (7, 7)), (64, (13, 15)), (257, (5, 6))]
)
@pytest.mark.parametrize("needed_later", [False, True])
def test_conv_with_residual(needed_later, channels, size, dtype):
    """`add` may be overwritten in place, unless somebody reads it later."""
    net = Draft(17, dtype)
    residual = net.conv("x", channels)
    hidden = net.conv("x", channels, (3, 3), padding=(1, 1), act="relu")
    y = net.conv(hidden, channels, (3, 3), padding=(1, 1), add=residual, act="relu6")
    outputs = [net.conv((y, residual), 5), net.step("add", (y, residual))] if needed_later else [y]
    check(net.program(*outputs), images(3, 17, size))


@pytest.mark.parametrize("channels", [1, 3, 20])
def test_conv_of_the_input_with_the_input_added(channels):
    """Which the convolution itself may read in Paddle's layout."""
    net = Draft(channels)
    net.conv("x", channels, (3, 3), padding=(1, 1), add="x", act="relu")
    check(net.program(), images(2, channels, (13, 5)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("groups", "channels"), [(1, 17), (1, 64), (3, 33), (17, 17)])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 7), (13, 15)])
def test_conv_with_a_low_resolution_added(size, groups, channels, dtype):
    net = Draft(channels, dtype)
    low = net.step("pool", "x", kind="avg", kernel=(2, 2), stride=(2, 2), ceil=1)
    low = net.conv(low, channels)
    keys = {"groups": groups, "up": low, "padding": (1, 1)}
    both = net.conv("x", channels, (3, 3), add="x", act="relu", **keys)
    check(net.program(net.conv("x", channels, (3, 3), **keys), both), images(3, channels, size))


def pool(kind, kernel, stride, padding=(0, 0), ceil=0):
    return lambda net: net.step("pool", "x", kind=kind, kernel=kernel, stride=stride, padding=padding, ceil=ceil)


def halves(net):
    return net.step("pool", "x", kind="avg", kernel=(2, 2), stride=(2, 2), ceil=1)


def slices(net, *counts):
    """Of x, from behind; as many channels as there are."""
    width = net.width("x")
    counts = [min(count, width) for count in counts]
    return [net.step("slice", "x", first=width - count, count=count) for count in counts]


MAPS = {
    "max": pool("max", (3, 3), (2, 2), (1, 1)),
    "max, ceil": pool("max", (3, 3), (2, 3), (1, 0), 1),
    "max of stride 1": pool("max", (1, 5), (1, 1), (0, 2)),
    "avg": pool("avg", (3, 3), (1, 2), (1, 1)),
    "avg, ceil": pool("avg", (2, 2), (2, 2), (0, 0), 1),
    "adaptive": lambda net: net.step("adaptive", "x", size=(3, 2)),
    "adaptive to more": lambda net: net.step("adaptive", "x", size=(7, 7)),
    "mean": lambda net: net.step("mean", "x"),
    "upsample": lambda net: net.step("upsample", "x"),
    "upsample like": lambda net: net.step("upsample", halves(net), like="x"),
    "resize up": lambda net: net.step("resize", "x", scale=1.7),
    "resize twice": lambda net: net.step("resize", "x", scale=2.0),
    "concat": lambda net: net.step("concat", (*slices(net, 5, 1), "x", *slices(net, 17))),
    "slice": lambda net: slices(net, 3)[0],
    "add": lambda net: net.step("add", (net.step("upsample", halves(net), like="x"), "x"), act="relu"),
    "add to itself": lambda net: net.step("add", ("x", "x")),
    "mul": lambda net: net.step("mul", (net.step("upsample", halves(net), like="x"), "x"), act="relu6"),
    "mul by itself": lambda net: net.step("mul", ("x", "x")),
    "mul by a channel": lambda net: net.step("mul", ("x", *slices(net, 1))),
    "mul by means": lambda net: net.step("mul", ("x", net.step("mean", "x"))),
    "mul by a mean": lambda net: net.step("mul", ("x", net.step("mean", *slices(net, 1))), act="relu"),
    "affine": lambda net: net.affine("x"),
    "affine and add": lambda net: net.affine("x", add=net.step("upsample", halves(net), like="x"), act="relu6"),
    **{act: lambda net, act=act: net.step("act", "x", act=act) for act in ACTIVATIONS},
    "conv of half a pair": lambda net: net.conv(net.step("act", "x", act="sigmoid"), 5, (3, 3), padding=(1, 1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", MAPS)
def test_maps(case, shape, dtype):
    channels, size, batch = shape
    net = Draft(channels, dtype)
    MAPS[case](net)
    check(net.program(), images(batch, channels, size))


def test_curves_to_a_rounding():
    x = np.concatenate([np.linspace(-110, 110, 4001), [0.0, -0.0, 1e-30, -1e-30, 3e38, -3e38]])
    exact = 1 / (1 + np.exp(-x.clip(-500)))
    for act, expected in (("sigmoid", exact), ("swish", x * exact)):
        net = Draft(1)
        net.step("act", "x", act=act)
        y = by_engine(net.program(), x.astype("float32").reshape(1, 1, 1, -1))[0].ravel()
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
    net = Draft(1)
    net.step("act", "x", act="sigmoid")
    assert np.isnan(by_engine(net.program(), np.full([1, 1, 1, 1], np.nan, "float32"))[0]).all()


@pytest.mark.parametrize("scale", [0.5, 0.7, 0.3])
def test_resize_down(scale):
    net = Draft(17)
    net.step("resize", "x", scale=scale)
    for size in ((7, 7), (10, 20), (33, 18)):
        check(net.program(), images(2, 17, size))


def small(net):
    """A residual block on a stem, with two ends."""
    stem = net.conv("x", 17, (3, 3), stride=(2, 2), padding=(1, 1), act="relu")
    y = net.conv(stem, 17, (3, 3), padding=(1, 1), act="relu")
    y = net.conv(y, 17, add=stem, act="relu")
    return net.program(net.conv(net.step("mean", y), 10), y)


@pytest.mark.parametrize("width", [1, 16, 33])
def test_everything(width):
    """In float32: so long a chain of roundings to bfloat16 says nothing."""
    check(everything(width), images(3, 3, (13, 12)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_outputs_of_one_network_at_many_sizes(dtype):
    """Plans of more sizes than are kept, back and forth."""
    program = small(Draft(3, dtype))
    for _ in range(2):
        for batch, size in enumerate(
            [(1, 1), (9, 1), (7, 7), (33, 18), (13, 5), (8, 8), (5, 6), (4, 4), (3, 7), (2, 9)]
        ):
            check(program, images(batch % 3 + 1, 3, size))


def test_flat_outputs():
    net = Draft(3)
    vector = net.step("mean", net.conv("x", 17))
    check(net.program(net.conv(vector, 10), vector, flat=True), images(3, 3, (7, 7)))


@pytest.mark.parametrize("flat", [False, True])
def test_empty_batch(flat):
    net = Draft(3)
    y = net.conv("x", 17, (3, 3), stride=(2, 2))
    net.conv(net.step("fill", y, mask=net.mask("x", stride=(2, 2), padding=(0, 0))), 5)
    net.step("mean", net.steps[-1].out)
    program = net.program(flat=flat)
    y, densities = by_engine(program, images(0, 3, (7, 7)))
    assert y.shape == ((0, 5) if flat else (0, 5, 1, 1))
    np.testing.assert_array_equal(densities, [0])
    check(program, images(1, 3, (7, 7)))


def test_an_image_does_not_depend_on_its_neighbours():
    program, x = small(Draft(3)), images(3, 3, (13, 6))
    together = by_engine(program, x)
    for i in range(3):
        for y, all_of_them in zip(by_engine(program, x[i : i + 1]), together):
            np.testing.assert_array_equal(y[0], all_of_them[i])


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_a_number_and_infinity_pass(dtype):
    """What is wrong with an image shows, where it is and nowhere else."""
    net = Draft(3, dtype)
    net.conv(net.conv("x", 17), 5, act="relu6")
    x = images(2, 3, (5, 7))
    clean = by_engine(net.program(), x)[0]
    x[0, 1, 2, 3], x[1, 1, 4, 6] = np.nan, np.inf
    y = by_engine(net.program(), x)[0]
    assert np.isnan(y[0, :, 2, 3]).all()
    assert not np.array_equal(y[1, :, 4, 6], clean[1, :, 4, 6])
    y[0, :, 2, 3], y[1, :, 4, 6] = clean[0, :, 2, 3], clean[1, :, 4, 6]
    np.testing.assert_array_equal(y, clean)


def test_bfloat16_reads_nothing_behind_the_images():
    """Sums of the mean lay where the copy of the images lies in the next run; as bfloat16 they were infinite."""
    net = Draft(1, "bfloat16")
    y = net.step("conv", ("x",), weight=np.ones((8, 1, 1, 1), "float32"))
    program = net.program(y, net.step("mean", y))
    x = np.array([1, 255 * 2**-16, 0, 0], "float32").reshape(1, 1, 1, 4)
    for _ in range(2):
        np.testing.assert_array_equal(by_engine(program, x)[0], np.tile(x, (1, 8, 1, 1)))


def test_release_and_run_again():
    program, x = small(Draft(3)), images(1, 3, (7, 7))
    before = by_engine(program, x)
    release(fingerprint(program))
    release("nobody")
    for y, again in zip(before, by_engine(program, x)):
        np.testing.assert_array_equal(y, again)


def test_more_networks_than_are_kept():
    programs = [small(Draft(3, seed=seed)) for seed in range(40)]
    x = images(1, 3, (7, 7))
    first = [by_engine(program, x)[0] for program in programs]
    assert len({y.tobytes() for y in first}) == 40
    for program, y in zip(programs, first):
        np.testing.assert_array_equal(by_engine(program, x)[0], y)


def test_a_view_that_is_not_contiguous():
    program, x = small(Draft(3)), images(2, 3, (8, 6))
    turned = paddle.to_tensor(np.ascontiguousarray(x.transpose(0, 1, 3, 2))).transpose([0, 1, 3, 2])
    got = deployed(turned, [paddle.to_tensor(w) for w in program.weights], program.text, fingerprint(program))
    np.testing.assert_array_equal(got[0].numpy(), by_engine(program, x)[0])
