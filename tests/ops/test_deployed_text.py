"""`ops.deployed`: text that is no program, or is cut off, is an error."""

from __future__ import annotations

import pytest

from ppeffconv.ops.deployed import deployed

from .programs import compiled
from .test_deployed_errors import ERRORS, HEAD, IN, POOL, SHAPES, VALID, count, numbers, refused

pytestmark = compiled


@pytest.mark.parametrize(
    ("head", "match"),
    [
        ("ppeffconv-program 2 float32 seed=0", "version 2"),
        ("ppeffconv-program 1 float16 seed=0", "unknown type float16"),
        ("ppeffconv-program 1 float32", "not a program"),
        ("ppeffconv-program 1 float32 seed=0 more=1", "not a program"),
        ("ppeffconv-program 1 float32 seed=x", "'x' is not a number"),
        ("ppeffconv-program 1 float32 seed=-1", "'-1' is not a number"),
        ("ppeffconv-program 1 float32 0", "expected seed"),
        ("onnx 1 float32 seed=0", "not a program"),
        ("", "not a program"),
    ],
)
def test_head(head, match):
    refused([POOL], match, head=head)


@pytest.mark.parametrize(
    "line", ["input x", "input x four", "input x -4", "input x 0", "input x 4 4", "x 4", "input x 1e1"]
)
def test_input(line):
    refused([POOL], "input|number", inputs=line)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("output", "expected 'output"),
        ("outputs v1", "expected 'output"),
        ("output ", "."),
        ("output v2", "no value 'v2'"),
        ("output v1,,x", "no value ''"),
        ("output v1 flat=2", "flat=2"),
        ("output v1 flat=1 flat=1", "flat=1"),
        ("output v1 flat=1", "must be 1x1"),
        ("output x,v1,x,v1,x,v1,x,v1,x", "at most 8 outputs, got 9"),
    ],
)
def test_output(line, match):
    refused([POOL], match, output=line)


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n\n", HEAD, f"{HEAD}\n{IN}", f"{HEAD}\n{IN}\noutput", "\0" * 9])
def test_text_that_is_no_program(text):
    with pytest.raises(ERRORS, match="deployed: "):
        deployed(numbers((1, 4, 9, 8)), [], text, f"error {next(count)}")


@pytest.mark.parametrize("name", ["conv", "mask", "ddf"])
def test_text_that_is_cut_off(name):
    steps = VALID[name]
    text = "\n".join((HEAD, IN, *steps, "output " + steps[-1].split(" ")[1]))
    x, weights = numbers((1, 4, 9, 8)), [numbers(shape) for shape in SHAPES]
    for end in range(len(text)):
        with pytest.raises(ERRORS, match="deployed: "):
            deployed(x, weights, text[:end], f"error {next(count)}")
