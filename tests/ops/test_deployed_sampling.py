"""`ops.deployed`: sampling masks and what they do to convolutions, against plain Paddle."""

from __future__ import annotations

import numpy as np
import pytest

from .programs import DTYPES, Draft, by_engine, check, compiled, gaussian, images

pytestmark = compiled

MASKS = {
    "threshold": {},
    "noise": {"noise": 1},
    "noise of another stream": {"noise": 1, "stream": 7},
    "no grid": {"grid": 0},
    "grid of 3": {"grid": 3, "bias": -9.0},
    "everything": {"bias": 1e3},
    "nothing": {"bias": -1e3, "grid": 0},
    "nothing but the grid": {"bias": -1e3},
    "most of it": {"bias": 1.7},
    "1x1": {"kernel": (1, 1)},
    "1x3": {"kernel": (1, 3)},
    "stride": {"stride": (2, 2)},
    "stride (1, 2) and dilation": {"stride": (1, 2), "dilation": (2, 1)},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("channels", "size", "batch"), [(5, (33, 18), 3), (17, (13, 7), 1), (70, (7, 7), 2), (5, (3, 150), 2)]
)
@pytest.mark.parametrize("case", MASKS)
def test_mask(case, channels, size, batch, dtype):
    """Seen through features that are not zero, with and without interpolation, and by its density."""
    keys = MASKS[case]
    net = Draft(channels, dtype, seed=3)
    m = net.mask("x", **keys)
    features = net.conv("x", 17, stride=keys.get("stride", (1, 1)))
    if case.startswith("stride (1, 2)"):
        features = net.conv("x", 17, (3, 3), stride=(1, 2), padding=(0, 1))
    program = net.program(net.step("fill", features, mask=m), net.step("fill", features, mask=m, table=gaussian(7)))
    x = images(batch, channels, size)
    check(program, x)
    density = float(by_engine(program, x)[-1][0])
    if case in ("everything", "nothing"):
        assert density == (case == "everything")
    elif dtype == "float32":
        assert 0 < density < 1


def test_the_seed_and_the_stream_change_the_noise():
    kept = set()
    for seed, stream in ((0, 0), (1, 0), (0, 1), (2**31 - 1, 0)):
        net = Draft(1)
        net.seed = seed
        net.step("fill", "x", mask=net.mask("x", noise=1, stream=stream, grid=0))
        x = images(2, 1, (13, 12))
        check(net.program(), x)
        kept.add((by_engine(net.program(), x)[0] != 0).tobytes())
    assert len(kept) == 4


TABLES = {
    "none": None,
    "1": gaussian(1),
    "3": gaussian(3),
    "7": gaussian(7),
    "9": gaussian(9),
    "narrow 9": gaussian(9, 0.5),
    "flat": np.full((5, 5), 1 / 25, "float32"),
    "learned": np.abs(np.random.default_rng(5).normal(0, 1, (7, 7))).astype("float32"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("finish", ["nothing", "shift", "all"])
@pytest.mark.parametrize("table", TABLES)
def test_fill(table, finish, dtype):
    """Features that nobody reads later may be filled where they lie, and so may what is added."""
    net = Draft(17, dtype)
    m = net.mask("x", bias=-0.8)
    features, added = net.affine("x"), net.affine("x")
    keys = {} if finish == "nothing" else {"shift": net.numbers(17)}
    if finish == "all":
        keys |= {"add": added, "act": "relu"}
    net.step("fill", features, mask=m, table=TABLES[table], **keys)
    check(net.program(), images(2, 17, (33, 18)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("later", ["features", "added", "both twice"])
def test_fill_of_maps_that_are_needed_later(later, dtype):
    net = Draft(5, dtype)
    m = net.mask("x")
    features, added = net.conv("x", 17), net.conv("x", 17)
    y = net.step("fill", features, mask=m, table=gaussian(3), **({} if later == "features" else {"add": added}))
    z = [features] if later == "features" else [added]
    if later == "both twice":
        z = [net.step("fill", features, mask=m, add=features), net.step("fill", added, mask=m, add=added)]
    check(net.program(y, *z), images(2, 5, (13, 7)))


MASKED = {"kernel": (3, 3), "padding": (1, 1)}
# above some density everything is computed, or tiles of it
BIASES = {"some": -0.5, "two thirds": 0.5, "most": 2.0, "everything": 1e3, "nothing": -1e3}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("channels", [5, 17, 64])
def test_bottleneck(channels, bias, dtype):
    """Three masked convolutions: the outer two are filled, the middle one is read at sampled pixels alone."""
    net, inner = Draft(channels, dtype), 48 if channels == 64 else 17
    keys = {"bias": BIASES[bias], "grid": 0 if bias == "nothing" else 11}
    first, second = net.mask("x", **keys), net.mask("x", noise=1, stream=1, **keys)
    a = net.step("fill", net.conv("x", inner, mask=first, act="relu"), mask=first, table=gaussian(7))
    b = net.conv(a, inner, mask=second, act="relu", **MASKED)
    c = net.conv(b, channels, mask=second, bias=False)
    net.step("fill", c, mask=second, table=gaussian(7), shift=net.numbers(channels), add="x", act="relu")
    check(net.program(), images(2, channels, (33, 18)))


def several_readers(net, m, masked):
    return [net.step("fill", masked, mask=m, table=gaussian(3)), net.conv(masked, 5, **MASKED)]


READERS = {
    "an output": lambda net, m, masked: [masked],
    "a fill": lambda net, m, masked: [net.step("fill", masked, mask=m, table=gaussian(5))],
    "an ordinary convolution": lambda net, m, masked: [net.conv(masked, 5, **MASKED)],
    "a masked convolution with a window": lambda net, m, masked: [
        net.step("fill", net.conv(masked, 5, mask=m, **MASKED), mask=m)
    ],
    "pooling": lambda net, m, masked: [
        net.step("pool", masked, kind="max", kernel=(3, 3), stride=(2, 2), padding=(1, 1), ceil=0)
    ],
    "a mean": lambda net, m, masked: [net.step("mean", masked)],
    "several": several_readers,
    "a fill by another mask": lambda net, m, masked: [
        net.step("fill", masked, mask=net.mask("x", stream=9, kernel=(1, 1)), table=gaussian(3))
    ],
    "a convolution under another mask": lambda net, m, masked: [
        net.conv(masked, 5, mask=net.mask("x", stream=9, kernel=(1, 1)))
    ],
    "a fill that adds it": lambda net, m, masked: [net.step("fill", masked, mask=m, add=masked)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", ["some", "most"])
@pytest.mark.parametrize("reader", READERS)
def test_masked_convolution_is_zero_elsewhere_for(reader, density, dtype):
    """For whoever can see those pixels, in memory that held something else before."""
    net = Draft(17, dtype)
    m = net.mask("x", bias=BIASES[density])
    before = net.conv(net.conv("x", 33, act="relu"), 33)
    seen = net.step("mean", before)  # the memory of `before` is free now
    masked = net.conv("x", 33, mask=m, act="relu", **MASKED)
    check(net.program(*READERS[reader](net, m, masked), seen), images(2, 17, (13, 7)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_convolution_of_stride_2_and_groups(dtype):
    net = Draft(16, dtype)
    m = net.mask("x", stride=(2, 2))
    a = net.conv("x", 34, (3, 3), groups=2, stride=(2, 2), padding=(1, 1), mask=m, act="relu")
    b = net.step("fill", a, mask=m, table=gaussian(3))
    c = net.conv("x", 16, (3, 3), groups=16, stride=(2, 2), padding=(1, 1), mask=m)
    check(net.program(b, c), images(3, 16, (13, 8)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [2, 5])
def test_masks_of_one_map(count, dtype):
    """As many as one product holds, and more, of different windows and strides."""
    net = Draft(17, dtype)
    kernels, strides = [(3, 3), (1, 1), (1, 3)], [(1, 1), (2, 2)]
    geometry = [(kernels[i % 3], strides[i % 2]) for i in range(count)]
    masks = [net.mask("x", kernel, stride=stride, noise=i % 2, stream=i) for i, (kernel, stride) in enumerate(geometry)]
    filled = [net.conv("x", 5, stride=stride, mask=m) for m, (_, stride) in zip(masks, geometry)]
    check(net.program(*filled[:4]), images(2, 17, (13, 7)))
