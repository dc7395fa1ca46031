"""The program: its text, its errors, shapes and multiply-adds, and that no step is made twice."""

from __future__ import annotations

import re

import numpy as np
import pytest

import ppeffconv
from ppeffconv.deployed import Program, lower
from ppeffconv.deployed.builder import Builder, Map
from ppeffconv.deployed.steps import OPS, parse_step

from .networks import create

TEXT = """ppeffconv-program 1 float32 seed=7
input x 3
conv v1 in=x weight=0 bias=1 stride=2,2 padding=1,1 act=relu
mean v2 in=v1
conv v3 in=v2 weight=2
output v3 flat=1"""
WEIGHTS = [np.ones(shape, "float32") for shape in ([4, 3, 3, 3], [4], [5, 4, 1, 1])]
FAMILIES = ["oct_resnet20", "sp_resnet20", "versatile_resnet20", "ddf_resnet20", "sampled_resnet20", "gated_resnet20"]


@pytest.mark.parametrize("name", [*FAMILIES, "ghost_resnet20", "uniform_resnet20", "oct_vgg16"])
def test_text_round_trip(name):
    program = lower(create(name, **({"head": "cifar"} if "vgg" in name else {})), seed=5).program
    again = Program.parse(program.text, program.weights)
    assert again.text == str(program) == program.text
    assert again.steps == program.steps
    assert (again.channels, again.outputs, again.flat, again.seed) == (3, program.outputs, True, 5)
    assert program.trace((3, 32, 32)) == again.trace((3, 32, 32))


def test_defaults_are_not_written():
    step = parse_step("conv v1 in=x,v2 weight=0 stride=1,1 padding=0,0 groups=1 act=none")
    assert str(step) == "conv v1 in=x,v2 weight=0"
    assert step["stride"] == (1, 1)
    assert step["bias"] is None
    assert step.inputs == ("x", "v2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("program 1", "program 2", "is of version 2, this installation reads version 1; deploy the network again"),
        ("float32", "float16", "dtype must be one of float32, bfloat16, got 'float16'"),
        ("seed=7", "seed", "line 1 must be"),
        ("input x 3", "input y 3", "line 2 of a program must be 'input x <channels>', got 'input y 3'"),
        ("mean", "meen", "line 4 of the program: unknown op 'meen'. Did you mean 'mean'?"),
        ("stride", "strides", "line 3 of the program: 'conv' has no key 'strides'. Did you mean 'stride'?"),
        ("2,2", "2,2,2", "stride must be of kind pair, got '2,2,2'"),
        ("act=relu", "act=gelu", "act must be one of none, relu"),
        ("weight=0", "bias=0", "the key 'bias' twice"),
        ("mean v2 in=v1", "mean v2", "'mean' needs the key 'in'"),
        ("mean v2 in=v1", "mean", "'mean' needs the name of its output"),
        ("in=v2 weight", "in=v4 weight", "line 5 of the program: 'v4' is not made by an earlier step"),
        ("conv v3 in=v2", "conv v2 in=v2", "'v2' is made a second time"),
        ("weight=2", "weight=3", "there is no weight 3, only 3 of them"),
        ("output v3", "output v9", "output 'v9' is not made by any step"),
        ("flat=1", "flat=2", "the last line must be"),
        (TEXT, "x", "needs a head, an input and an output line, got 1 lines"),
    ],
)
def test_errors_of_a_text(old, new, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Program.parse(TEXT.replace(old, new), WEIGHTS)


def test_trace():
    program = Program.parse(TEXT, WEIGHTS)
    rows = program.trace((2, 3, 9, 8))
    assert [row.output_shape for row in rows] == [(2, 4, 5, 4), (2, 4, 1, 1), (2, 5, 1, 1)]
    assert [row.macs for row in rows] == [4 * 27 * 20, 0, 20]
    assert program.macs((3, 9, 8)) == 4 * 27 * 20 + 20


@pytest.mark.parametrize(
    ("shape", "message"),
    [((4, 9, 8), "takes 3 channels"), ((9, 8), "an input shape is"), ((3, 0, 8), "of positive integers")],
)
def test_errors_of_trace(shape, message):
    with pytest.raises(ValueError, match=message):
        Program.parse(TEXT, WEIGHTS).trace(shape)


def test_input_that_is_too_small():
    narrow = Program.parse(TEXT.replace(" padding=1,1", ""), WEIGHTS)
    with pytest.raises(ValueError, match="the input is too small: 'conv v1"):
        narrow.trace((3, 1, 8))


@pytest.mark.parametrize("name", ["resnet20", "oct_resnet50", "sp_resnet20", "versatile_resnet20", "ddf_resnet50"])
def test_macs_are_those_of_the_network(name):
    """The profile counts the network itself, layer by layer."""
    net = create(name)
    assert lower(net).program.macs((3, 45, 37)) == ppeffconv.profile(net, (3, 45, 37)).macs


def test_macs_of_a_sampling_network_follow_the_density():
    program = lower(create("sampled_resnet20", window=3)).program
    dense = program.macs((3, 32, 32))
    count = len(program.masks)
    assert program.macs((3, 32, 32), [1.0] * count) == dense
    half = program.macs((3, 32, 32), [0.5] * count)
    assert 0.5 < half / dense < 0.65
    with pytest.raises(ValueError, match=f"expected {count} densities, one a mask, got 1"):
        program.macs((3, 32, 32), [0.5])


def test_equal_steps_are_made_once():
    """Both convolutions that read a pooled map share the pooling; weights are kept once."""
    builder = Builder(3)
    weight = np.ones([2, 3, 1, 1])
    first, second = (builder.step("mean", in_=builder.input) for _ in range(2))
    assert first is second
    assert builder.conv(first, weight) is builder.conv(second, weight.copy())
    assert builder.conv(first, weight) is not builder.conv(first, 2 * weight)
    pools = [step for step in lower(create("oct_resnet20")).program.steps if step.op == "pool"]
    assert len({str(step["in"]) for step in pools}) == len(pools)


def test_steps_that_nothing_needs_are_left_out():
    builder = Builder(3)
    builder.conv(builder.input, np.ones([4, 3, 1, 1]))
    program = builder.program([builder.conv(builder.input, np.ones([2, 3, 1, 1]))], "float32", 0)
    assert program.text.split("\n")[2:] == ["conv v1 in=x weight=0", "output v1"]
    assert [w.shape for w in program.weights] == [(2, 3, 1, 1)]
    stages = {
        step.label.split(".")[0]
        for step in lower(create("resnet18", features_only=True, out_indices=(2,))).program.steps
    }
    assert stages == {"conv1", "maxpool", "layer1", "layer2"}


def test_maps_are_freed_after_their_last_use():
    program = Program.parse(TEXT, WEIGHTS)
    assert program.last_uses == (("x",), ("v1",), ("v2",))


def test_every_op_has_a_shape_and_an_interpreter():
    from ppeffconv.deployed.reference import _OPS

    assert set(_OPS) == set(OPS)
    assert Map("x", 3).size is None
