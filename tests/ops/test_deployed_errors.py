"""`ops.deployed`: whatever is wrong with a step, its weights or the images is an error that names the step."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.ops.deployed import deployed

from .programs import Draft, by_engine, compiled, images

pytestmark = compiled
ERRORS = (OSError, RuntimeError)
HEAD = "ppeffconv-program 1 float32 seed=0"
IN = "input x 4"
# 0: 3x3, 1: 1x1, 2: five numbers, 3: four, 4: a mask's, 5: its bias, 6: a table, 7, 8: SPConv's, 9: a 5x5 mask's,
# 10: to 4 channels, 11: 36 numbers, 12: to 9 channels, 13: no filters
SHAPES = [(5, 4, 3, 3), (5, 4, 1, 1), (5,), (4,), (1, 4, 3, 3), (1,), (3, 3), (5, 2, 3, 3), (5, 2, 1, 1), (1, 4, 5, 5)]
SHAPES += [(4, 4, 1, 1), (36,), (9, 4, 1, 1), (0, 4, 1, 1)]
POOL = "pool v1 in=x kind=max kernel=2,2 stride=2,2 ceil=0"
MASK = "mask v1 in=x weight=4 bias=5 padding=1,1 grid=11 noise=0 stream=0"
SP = "sp v1 in=x grouped=7 pointwise=8 redundant=8 shift3=2 shift1=2 gate=2"
NESTED = "nested v1 in=x weight=1 scale=2 shift=2 delta=0 g=1 mode=paper"
FILTERS = [
    "concat v1 in=x,x,x,x,x,x,x,x,x",
    "mean v2 in=v1",
    "filters v3 in=v2 std=11 taps=9",
    "conv v4 in=x weight=12",
]
DDF = "ddf v5 in=x channel=v3 spatial=v4 scale=3 shift=3 kernel=3 stride=1 dilation=1 heads=1 mode=mul gain=1.0 up=1"
VALID = {"pool": [POOL], "mask": [MASK, "fill v2 in=x mask=v1 table=6 shift=3"], "sp": [SP], "nested": [NESTED]}
VALID |= {"ddf": [*FILTERS, DDF], "conv": ["conv v1 in=x weight=0 bias=2 stride=1,1 padding=1,1 groups=1 act=relu"]}
count = iter(range(10**9))


def numbers(shape):
    values = np.random.default_rng(1).standard_normal(shape).astype("float32")
    return paddle.to_tensor(np.abs(values) if len(shape) == 2 else values)  # a table has no negative ones


def run(steps, output=None, head=HEAD, inputs=IN, x=(2, 4, 9, 8), shapes=SHAPES):
    output = output or "output " + [*steps[-1].split(" "), "v1"][1]
    text = "\n".join((head, inputs, *steps, output))
    return deployed(numbers(x), [numbers(shape) for shape in shapes], text, f"error {next(count)}")


def refused(steps, match, **keys):
    """The error says what is wrong, and, where that is the last step, quotes it."""
    with pytest.raises(ERRORS, match=match) as caught:
        run(steps, **keys)
    if not keys:
        assert steps[-1] in str(caught.value)


@pytest.mark.parametrize("steps", VALID.values(), ids=VALID)
def test_what_is_changed_below_is_valid(steps):
    keys = {} if steps != VALID["mask"] else {"output": "output v2"}
    assert np.isfinite(run(steps, **keys)[0].numpy()).all()


STEPS = {
    "no such op": (["convolve v1 in=x"], "no operation 'convolve'"),
    "no output": (["act"], "not a step"),
    "no key": (["act v1 in=x relu"], "expected key=value, got 'relu'"),
    "two spaces": (["act v1  in=x"], "expected key=value"),
    "unknown key": (["conv v1 in=x weight=0 paddings=1,1"], "unknown key 'paddings'"),
    "key of another op": (["concat v1 in=x,x count=4"], "unknown key 'count'"),
    "key twice": (["act v1 in=x in=x"], "'in' stands twice"),
    "unknown activation": (["act v1 in=x act=gelu"], "no activation 'gelu'"),
    "no activation": (["act v1 in=x act="], "no activation ''"),
    "no input": (["act v1 act=relu"], "no input"),
    "empty input": (["act v1 in="], "no input"),
    "input that is not there": (["act v1 in=y"], "no value 'y'"),
    "input that is made later": (["act v1 in=v1"], "no value 'v1'"),
    "too few inputs": (["add v1 in=x"], "expected 2 inputs"),
    "too many inputs": (["act v1 in=x,x"], "expected 1 inputs"),
    "no weight": (["conv v1 in=x"], "no weight for 'weight'"),
    "weight that is not there": (["conv v1 in=x weight=14"], "no weight for 'weight'"),
    "weight -1": (["conv v1 in=x weight=-1"], "no weight for 'weight'"),
    "weight of another rank": (["conv v1 in=x weight=2"], "'weight' must have 4 dimensions"),
    "bias of another rank": (["conv v1 in=x weight=0 bias=1"], "'bias' must have 1 dimensions"),
    "bias of another length": (["conv v1 in=x weight=0 bias=3"], "'bias' must hold 5 numbers"),
    "weight of other channels": ([POOL, "conv v2 in=v1,x weight=0"], "does not fit the channels"),
    "groups that do not fit": (["conv v1 in=x weight=0 groups=2"], "does not fit the channels"),
    "no groups": (["conv v1 in=x weight=0 groups=0"], "does not fit the channels"),
    "groups of several inputs": (
        ["slice v1 in=x first=0 count=4", "conv v2 in=v1,x weight=0 groups=2"],
        "does not fit",
    ),
    "scale of another length": (["affine v1 in=x scale=2 shift=3"], "'scale' must hold 4 numbers"),
    "maps of other sizes": ([POOL, "concat v2 in=x,v1"], "differ in size"),
    "sum of other sizes": ([POOL, "add v2 in=x,v1"], "differ"),
    "sum of other channels": (["conv v1 in=x weight=1", "add v2 in=x,v1"], "differ"),
    "product of other sizes": ([POOL, "mul v2 in=x,v1"], "do not fit"),
    "convolution over other sizes": ([POOL, "conv v2 in=x,v1 weight=1"], "channels|differ in size"),
    "residual of another size": ([POOL, "conv v2 in=x weight=10 add=v1"], "'add' does not fit"),
    "residual of other channels": (["conv v1 in=x weight=1 add=x"], "'add' does not fit"),
    "residual that is not there": (["conv v1 in=x weight=1 add=v1"], "no value 'v1'"),
    "low resolution of full size": (["conv v1 in=x weight=10 up=x"], "half of the output's size"),
    "upsampling of full size": (["upsample v1 in=x like=x"], "half of the size"),
    "images too small": (["conv v1 in=x weight=0 dilation=4,4"], "too small"),
    "pooling of what is too small": (["pool v1 in=x kind=max kernel=9,9 stride=1,1 ceil=0"], "too small"),
    "dilated pooling": ([POOL + " dilation=2,2"], "dilat"),
    "another kind of pooling": (["pool v1 in=x kind=sum kernel=2,2 stride=2,2 ceil=0"], "max or avg"),
    "pooling without a window": (["pool v1 in=x kind=max stride=2,2 ceil=0"], "out of range"),
    "huge window": (["pool v1 in=x kind=max kernel=99,99 stride=1,1 padding=98,98 ceil=0"], "too large"),
    "no cells": (["adaptive v1 in=x size=0,3"], "must be positive"),
    "cells without number": (["adaptive v1 in=x"], "must be positive"),
    "more cells than memory": (["adaptive v1 in=x size=1000000,1000000"], "elements"),
    "scale 0": (["resize v1 in=x scale=0"], "out of range"),
    "no scale": (["resize v1 in=x"], "out of range"),
    "negative scale": (["resize v1 in=x scale=-2"], "out of range"),
    "scale that is no number": (["resize v1 in=x scale=half"], "'half' is not a number"),
    "scale nan": (["resize v1 in=x scale=nan"], "'nan' is not a number"),
    "scale 1e99": (["resize v1 in=x scale=1e99"], "'1e99' is not a number|out of range"),
    "nothing left of it": (["resize v1 in=x scale=0.01"], "too small"),
    "channels that are not there": (["slice v1 in=x first=3 count=2"], "do not exist"),
    "channels before the first": (["slice v1 in=x first=-1 count=2"], "do not exist"),
    "no channels": (["slice v1 in=x first=1 count=0"], "do not exist"),
    "channels far away": (["slice v1 in=x first=9223372036854775807 count=1"], "is not a number|do not exist"),
    "slice without count": (["slice v1 in=x first=1"], "'count' is missing"),
    "mask of several": ([MASK.replace("weight=4", "weight=0")], "does not fit"),
    "mask of 5x5": ([MASK.replace("weight=4", "weight=9")], "does not fit"),
    "mask as a map": ([MASK, "act v2 in=v1 act=relu"], "a mask cannot be read as a map"),
    "mask as one of several maps": ([MASK, "concat v2 in=x,v1"], "a mask cannot be read as a map"),
    "mask as a residual": ([MASK, "conv v2 in=x weight=10 add=v1"], "wrong kind of value"),
    "mask of a mask": ([MASK, "mask v2 in=v1 weight=4 bias=5 grid=0 noise=0 stream=1"], "a mask cannot be read"),
    "map as a mask": (["conv v1 in=x weight=0 mask=x"], "wrong kind of value"),
    "map as a mask to fill by": (["fill v1 in=x mask=x"], "wrong kind of value"),
    "fill without a mask": (["fill v1 in=x"], "needs 'mask'"),
    "mask of another size": ([MASK, "conv v2 in=x weight=0 mask=v1"], "does not fit the output"),
    "fill of another size": ([MASK, "conv v2 in=x weight=0", "fill v3 in=v2 mask=v1"], "does not fit the features"),
    "masked sum": ([MASK, "conv v2 in=x weight=10 mask=v1 add=x"], "adds nothing"),
    "table of four dimensions": ([MASK, "fill v2 in=x mask=v1 table=4"], "'table' must have 2 dimensions"),
    "negative grid": ([MASK.replace("grid=11", "grid=-1")], "negative"),
    "sp of stride 3": ([SP + " stride=3,3"], "do not fit"),
    "sp of two strides": ([SP + " stride=1,2"], "do not fit"),
    "sp of other kernels": ([SP.replace("grouped=7", "grouped=0")], "do not fit"),
    "sp without a gate": ([SP.replace(" gate=2", "")], "no weight for 'gate'"),
    "sp without light channels": ([SP.replace("pointwise=8", "pointwise=1")], "do not fit"),
    "nested with too many outputs": ([NESTED.replace("=2", "=11")], "do not fit the filters"),
    "nested without all channels": ([NESTED.replace("delta=0", "delta=4")], "does not fit"),
    "nested windows between": ([NESTED.replace("delta=0 g=1", "delta=3 g=2")], "does not fit"),
    "nested windows that do not move": ([NESTED.replace("g=1", "g=0")], "does not fit"),
    "filters of a part": ([*FILTERS[:2], "filters v3 in=v2 std=11 taps=5"], "no whole filters"),
    "filters without taps": ([*FILTERS[:2], "filters v3 in=v2 std=11 taps=0"], "no whole filters"),
    "ddf of another kernel": ([*FILTERS, DDF.replace("kernel=3", "kernel=5")], "do not fit"),
    "ddf of another stride": ([*FILTERS, DDF.replace("stride=1", "stride=2")], "do not fit"),
    "ddf of other heads": ([*FILTERS, DDF.replace("heads=1", "heads=2")], "do not fit"),
    "ddf without heads": ([*FILTERS, DDF.replace("heads=1", "heads=0")], "do not fit"),
    "ddf of another mode": ([*FILTERS, DDF.replace("mul", "max")], "mul or add"),
    "ddf without spatial filters": ([*FILTERS, DDF.replace("spatial=v4 ", "")], "needs 'channel' and 'spatial'"),
    "ddf with filters of every pixel": (
        [*FILTERS, DDF.replace("channel=v3", "channel=v1")],
        "channel filters do not fit",
    ),
    "ddf without a kernel": ([*FILTERS, DDF.replace("kernel=3 ", "")], "'kernel' is missing"),
    "ddf up 64": ([*FILTERS, DDF.replace("up=1", "up=64")], "do not fit"),
    "gain that is no number": ([*FILTERS, DDF.replace("gain=1.0", "gain=high")], "'high' is not a number"),
}


@pytest.mark.parametrize("case", STEPS)
def test_step(case):
    steps, match = STEPS[case]
    refused(steps, match)


@pytest.mark.parametrize("key", ["stride", "padding", "dilation"])
@pytest.mark.parametrize(
    "value", ["-1,1", "1,-1", "1", "1,1,1", "", ",", "1,", "x,1", "1e99,1", "1.5,1", "0x,2", "1048576,1"]
)
@pytest.mark.parametrize("op", ["conv v1 in=x weight=0", MASK.replace(" padding=1,1", ""), SP])
def test_pairs(op, value, key):
    refused([f"{op} {key}={value}"], f"number|{key}|out of range|padding|do not fit")


@pytest.mark.parametrize("key", ["groups", "weight", "bias"])
@pytest.mark.parametrize("value", ["", "x", "1e99", "1.0", "1,1", "9" * 30, "-" + "9" * 30, "4294967296"])
def test_single_numbers(value, key):
    refused([f"conv v1 in=x {'' if key == 'weight' else 'weight=0 '}{key}={value}"], "number|channels|no weight")


def test_values_that_are_made_twice():
    for again in ("v1", "x"):
        refused([POOL, f"act {again} in=x act=relu"], f"{again} is made twice", output="output v1")


def test_mask_as_output():
    refused([MASK], "a mask cannot be an output", output="output v1")


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ((2, 3, 9, 8), "expected 4 channels, got 3"),
        ((2, 4, 9), "4 dimensions"),
        ((2, 4, 9, 8, 1), "4 dimensions"),
        ((2, 4, 0, 8), "too small"),
    ],
)
def test_images(x, match):
    refused([POOL], match, x=x)


def test_types():
    text = "\n".join((HEAD, IN, "conv v1 in=x weight=0", "output v1"))
    x, weight = numbers((1, 4, 9, 8)), numbers(SHAPES[0])
    for arguments in ((x.astype("float64"), weight), (x, weight.astype("float64")), (x, weight.astype("bfloat16"))):
        with pytest.raises(ERRORS, match="must be float32"):
            deployed(arguments[0], [arguments[1]], text, f"error {next(count)}")


def test_second_mask_of_what_is_too_small():
    """Masks of one map are found together."""
    second = MASK.replace("v1", "v2").replace("padding=1,1", "dilation=5,5")
    refused([MASK, second], "too small", output="output x")


def test_weight_without_filters():
    """No filters make no channels."""
    assert run(["conv v1 in=x weight=13"])[0].shape == [2, 0, 9, 8]


def small(seed=0, act="relu"):
    net = Draft(3, seed=seed)
    net.conv("x", 5, (3, 3), act=act)
    return net.program()


def test_a_uid_belongs_to_its_weights_and_text():
    x = images(1, 3, (7, 7))
    y = by_engine(small(), x, "mine")[0]
    with pytest.raises(ERRORS, match="another program"):  # the seed stands in the text
        by_engine(small(seed=1), x, "mine")
    with pytest.raises(ERRORS, match="another program"):
        by_engine(small(act="none"), x, "mine")
    np.testing.assert_array_equal(by_engine(small(), x, "mine")[0], y)


def test_one_number_that_differs():
    """At addresses that are not known yet, because the first tensors live on."""
    program, x = small(), paddle.to_tensor(images(1, 3, (7, 7)))
    tensors = [paddle.to_tensor(w) for w in program.weights]
    deployed(x, tensors, program.text, "one number")
    others = [w.copy() for w in program.weights]
    others[0][0, 0, 0, 1] += 1
    with pytest.raises(ERRORS, match="weights are not those"):
        deployed(x, [paddle.to_tensor(w) for w in others], program.text, "one number")
    assert len(tensors) == 2


def test_weights_that_are_overwritten():
    """At the addresses that are known already."""
    program, x = small(), paddle.to_tensor(images(1, 3, (7, 7)))
    tensors = [paddle.to_tensor(w) for w in program.weights]
    y = deployed(x, tensors, program.text, "overwritten")[0].numpy()
    for tensor, other, own in zip(tensors, small(seed=1).weights, program.weights):
        tensor.set_value(other)
        with pytest.raises(ERRORS, match="weights are not those"):
            deployed(x, tensors, program.text, "overwritten")
        tensor.set_value(own)
    np.testing.assert_array_equal(deployed(x, tensors, program.text, "overwritten")[0].numpy(), y)


def test_an_error_does_not_stay():
    """A program that was refused may come again, with the weights that it needs or images that are large enough."""
    program, x = small(), images(1, 3, (7, 7))
    tensors = [paddle.to_tensor(w) for w in program.weights]
    with pytest.raises(ERRORS, match="no weight"):
        deployed(paddle.to_tensor(x), [], program.text, "again")
    with pytest.raises(ERRORS, match="too small"):
        deployed(paddle.to_tensor(x[:, :, :2]), tensors, program.text, "again")
    assert deployed(paddle.to_tensor(x), tensors, program.text, "again")[0].shape == [1, 5, 5, 5]
