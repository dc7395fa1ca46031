"""Programs written step by step with random weights, and both ways to run them."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import paddle
import pytest

from ppeffconv.deployed import reference
from ppeffconv.deployed.program import INPUT, Program
from ppeffconv.deployed.shapes import Shape, infer
from ppeffconv.deployed.steps import Step, make_step
from ppeffconv.ops import loader
from ppeffconv.ops.deployed import deployed

compiled = pytest.mark.skipif("deployed" not in loader.library().ops, reason="kernels not compiled")
TOLERANCE = {"float32": 2e-5, "bfloat16": 3e-2}  # of an output's standard deviation
DTYPES = tuple(TOLERANCE)
SHARP = 40.0  # see `Draft.mask`
Names = str | Sequence[str]
Size = tuple[int, int]


class Draft:
    """A program in the making; `step` and its likes return the name of the map that the new step makes.

    With a ``size`` of the images those of the maps are known too, and ValueError tells that one has no pixels.
    """

    def __init__(self, channels: int, dtype: str = "float32", seed: int = 0, size: Size | None = None) -> None:
        self.dtype, self.seed = dtype, seed
        self.steps: list[Step] = []
        self.weights: list[np.ndarray] = []
        self.shapes = {INPUT: Shape(channels, size)}
        self._random = np.random.default_rng(seed)

    def width(self, names: Names) -> int:
        """Channels of maps, together."""
        return sum(self.shapes[name].channels for name in ((names,) if isinstance(names, str) else names))

    def numbers(self, *shape: int) -> np.ndarray:
        """Weights, none of them near zero, that keep the magnitude of what they are multiplied with."""
        values = self._random.standard_normal(shape)
        summed = np.prod(shape[1:]) if len(shape) == 4 else 1
        return ((values + 0.2 * np.sign(values)) / np.sqrt(summed)).astype("float32")

    def step(self, op: str, in_: Names, **keys: Any) -> str:
        """Any step; arrays among the keys become weights."""
        for key, value in keys.items():
            if isinstance(value, np.ndarray):
                self.weights.append(value)
                keys[key] = len(self.weights) - 1
        step = make_step(op, f"v{len(self.steps) + 1}", in_=in_, **keys)
        self.shapes[step.out] = infer(step, self.shapes, self.weights)
        self.steps.append(step)
        return step.out

    def conv(self, in_: Names, out: int, kernel=(1, 1), groups: int = 1, bias: bool = True, **keys: Any) -> str:
        names = (in_,) if isinstance(in_, str) else tuple(in_)
        weight = self.numbers(out, self.width(names) // groups, *kernel)
        return self.step("conv", names, weight=weight, bias=self.numbers(out) if bias else None, groups=groups, **keys)

    def affine(self, in_: str, **keys: Any) -> str:
        vectors = {key: self.numbers(self.width(in_)) for key in ("scale", "shift")}
        return self.step("affine", in_, **vectors, **keys)

    def nested(self, in_: str, filters: int, kernel, groups: int = 1, cut: int = 0, **keys: Any) -> str:
        keys = {"delta": 0, "g": 1, "mode": "paper", **keys}
        out = filters * ((min(kernel) + 1) // 2) * (keys["delta"] // keys["g"] + 1) - cut
        weight = self.numbers(filters, self.width(in_) // groups, *kernel)
        scale, shift = self.numbers(out), self.numbers(out)
        return self.step("nested", in_, weight=weight, scale=scale, shift=shift, groups=groups, **keys)

    def sp(self, in_: str, out: int, heavy: int, groups: int = 1, **keys: Any) -> str:
        light = self.width(in_) - heavy
        kernels = {"grouped": (out, heavy // groups, 3, 3), "pointwise": (out, heavy, 1, 1)}
        kernels |= {"redundant": (out, light, 1, 1), "shift3": (out,), "shift1": (out,), "gate": (out,)}
        weights = {key: self.numbers(*shape) for key, shape in kernels.items()}
        return self.step("sp", in_, groups=groups, **weights, **keys)

    def ddf(self, in_: str, kernel: int, heads: int = 1, up: int = 1, stride: int = 1, **keys: Any) -> str:
        """With filters that come from ``in_`` too: those of the channels from its means."""
        channels, taps = self.width(in_), kernel * kernel
        logits = self.conv(self.step("mean", in_), up * up * channels * taps)
        channel = self.step("filters", logits, std=self.numbers(self.width(logits)), taps=taps)
        spatial = self.conv(in_, up * up * heads * taps, stride=(stride, stride))
        keys = {"dilation": 1, "mode": "mul", "gain": 0.7, **keys}
        vectors = {"scale": self.numbers(channels), "shift": self.numbers(channels)}
        sizes = {"kernel": kernel, "stride": stride, "heads": heads, "up": up}
        return self.step("ddf", in_, channel=channel, spatial=spatial, **vectors, **sizes, **keys)

    def mask(self, in_: str, kernel=(3, 3), bias: float = 0.0, **keys: Any) -> str:
        """In bfloat16 by the sign of the first channel under the centre, so that rounding changes no decision."""
        weight = self.numbers(1, self.width(in_), *kernel)
        if self.dtype == "bfloat16":
            weight[0, 0, kernel[0] // 2, kernel[1] // 2] = SHARP
        geometry = {"padding": tuple(side // 2 for side in kernel), "grid": 11, "noise": 0, "stream": 0, **keys}
        return self.step("mask", in_, weight=weight, bias=np.array([bias], "float32"), **geometry)

    def program(self, *outputs: str, flat: bool = False) -> Program:
        """The program; by default its output is what the last step makes."""
        names = outputs or (self.steps[-1].out,)
        channels = self.shapes[INPUT].channels
        return Program(channels, tuple(self.steps), names, tuple(self.weights), flat, self.dtype, self.seed)


def gaussian(window: int, sigma: float = 1.3) -> np.ndarray:
    """The table of an interpolation."""
    squares = (np.arange(window) - window // 2) ** 2
    row = np.exp(-squares / (2 * sigma**2))
    return np.outer(row, row).astype("float32")


def everything(width: int = 17, dtype: str = "float32", seed: int = 0) -> Program:
    """Images of 3 channels through steps of every kind, on maps of ``width`` channels; two outputs."""
    net = Draft(3, dtype, seed)
    around = {"kernel": (3, 3), "padding": (1, 1)}
    stem = net.conv("x", width, act="relu", **around)
    low = net.step("pool", stem, kind="avg", kernel=(2, 2), stride=(2, 2), ceil=1)
    tiles = net.conv(net.conv(stem, 32), 32, **around)
    y = net.conv(tiles, width, add=stem, up=low, **around)
    m = net.mask("x", noise=1)
    y = net.step("fill", net.conv(y, width, mask=m, **around), mask=m, table=gaussian(3), add=stem, act="relu")
    y = net.sp(net.conv(y, width + 1), width, width // 2 + 1, add=stem)
    y = net.nested(net.ddf(y, 3), width, **around, delta=width // 2, g=max(width // 2, 1))
    y = net.conv(y, net.width(y), groups=net.width(y), act="relu", **around)
    y = net.step("mul", (y, net.step("mean", y)))
    return net.program(net.conv(net.step("adaptive", y, size=(1, 1)), 10), y)


def images(batch: int, channels: int, size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Normal numbers, those of the first channel not near zero."""
    x = np.random.default_rng((seed, 1)).standard_normal((batch, channels, *size))
    x[:, :1] += 0.5 * np.sign(x[:, :1])
    return x.astype("float32")


def by_reference(program: Program, x: np.ndarray) -> list[np.ndarray]:
    """Outputs and densities by plain Paddle; of a float32 program in float64, which all but `resize` can."""
    double = program.dtype == "float32" and all(step.op != "resize" for step in program.steps)
    dtype = "float64" if double else "float32"
    tensors = [paddle.to_tensor(a.astype(dtype)) for a in (x, *program.weights)]
    with mock.patch.dict(os.environ, PPEFFCONV_OPS="reference"):
        outputs, densities = reference.run(program, tensors[0], tensors[1:])
    return [y.numpy() for y in outputs] + ([np.array([float(d) for d in densities])] if densities else [])


def by_engine(program: Program, x: np.ndarray, uid: str | None = None) -> list[np.ndarray]:
    """Outputs and densities by the compiled engine."""
    weights = [paddle.to_tensor(w) for w in program.weights]
    return [y.numpy() for y in deployed(paddle.to_tensor(x), weights, program.text, uid or fingerprint(program))]


def fingerprint(program: Program) -> str:
    digest = hashlib.sha256(program.text.encode())
    for weight in program.weights:
        digest.update(weight.tobytes())
    return digest.hexdigest()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """What the engine runs on within."""
    openmp = ctypes.CDLL(str(loader.library().path))
    before = openmp.omp_get_max_threads()
    openmp.omp_set_num_threads(count)
    try:
        yield
    finally:
        openmp.omp_set_num_threads(before)


def check(program: Program, x: np.ndarray) -> None:
    """The engine computes what the reference does: the same bits by 1, 2 and 3 threads, and when it runs again.

    Before that an image without numbers passes, which must leave nothing behind.
    """
    if program.dtype == "bfloat16":
        x = paddle.to_tensor(x).astype("bfloat16").astype("float32").numpy()
    expected, first = by_reference(program, x), None
    for count in (1, 2, 3, 3):
        with threads(count):
            got = by_engine(program, x)
            by_engine(program, np.full_like(x, np.nan))
        first = first or got
        assert all(np.array_equal(a, b) for a, b in zip(got, first)), f"{count} threads compute something else"
    assert_close(first, expected, program.dtype)


def assert_close(got: list[np.ndarray], expected: list[np.ndarray], dtype: str) -> None:
    assert [y.shape for y in got] == [y.shape for y in expected]
    rounding = 2.0**-6 if dtype == "bfloat16" else 0
    for y, exact in zip(got, expected):
        scale = max(exact.std(), 0.3)  # a single number has no deviation
        np.testing.assert_allclose(y / scale, exact / scale, rtol=rounding, atol=TOLERANCE[dtype])
