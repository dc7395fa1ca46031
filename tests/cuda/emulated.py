"""The CUDA kernels compiled for the CPU (`emulation.h`), called with numpy arrays; and the cases they are tested on.

As a program it runs all cases, without Paddle: what a sanitizer watches.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}  # numpy has no bfloat16: its bits
ORDERS = (0, 1, 12345)  # of threads and blocks: as numbered, reversed, shuffled


def missing() -> str:
    """Why the emulation cannot be compiled here, or an empty string."""
    if platform.machine() != "x86_64":
        return "the emulation switches threads in x86-64 assembly"
    return "" if shutil.which("g++") else "no g++"


def compile_library(path: Path, *flags: str, source: str = "entry.cc") -> Path:
    """Compile the kernels and their launchers, for their entries, into a shared library; warnings are errors."""
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-strict-aliasing"]
    command += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", f"-I{HERE}", f"-I{ROOT / 'custom_ops' / 'cuda'}"]
    command += [str(HERE / source), *flags, "-o", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return path


def encode(array: np.ndarray, dtype: str) -> np.ndarray:
    """The nearest numbers of a type, in an array of its own."""
    if dtype != "bfloat16":
        return np.array(array, TYPES[dtype], order="C")
    bits = np.array(array, np.float32, order="C").view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def decode(array: np.ndarray) -> np.ndarray:
    """As float32; 16-bit integers are bfloat16."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


class Emulation:
    """A compiled library; `dtype` is the type of the tensors, `order` one of `ORDERS`."""

    def __init__(self, path: Path, dtype: str = "float32", order: int = 0):
        self.library, self.dtype, self.order = ctypes.CDLL(str(path)), dtype, order

    def __call__(self, name: str, sizes: list[int], *arrays: np.ndarray) -> None:
        function = getattr(self.library, name)
        function.restype = ctypes.c_char_p
        self.library.set_order(self.order)
        number = list(TYPES).index(self.dtype)
        sizes = np.array(sizes, np.int64)
        pointers = [ctypes.c_void_p(None if a is None else a.ctypes.data) for a in (sizes, *arrays)]
        message = function(number, *pointers)
        if message:
            raise RuntimeError(message.decode())

    def tensor(self, array: np.ndarray) -> np.ndarray:
        return encode(array, self.dtype)

    def empty(self, *shape: int) -> np.ndarray:
        """For a result: full of NaN, so that what is not written shows."""
        return encode(np.full(shape, np.nan), self.dtype)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Each op: the inputs of a case in float64, and a run that returns the results as float32.


def ddf_inputs(shape, kernel=3, stride=1, dilation=1, mode="mul"):
    batch, channels, height, width = shape
    out = ((height - 1) // stride + 1, (width - 1) // stride + 1)
    sizes = [shape, (batch, channels, kernel**2), (batch, kernel**2, *out), (batch, channels, *out)]
    return [normal(*size, seed=seed) for seed, size in enumerate(sizes)]


def ddf(run, x, c, f, dy, shape, kernel=3, stride=1, dilation=1, mode="mul"):
    sizes = [*shape, kernel, stride, dilation, mode == "add"]
    x, c, f, dy = map(run.tensor, (x, c, f, dy))
    y, dx, dc, df = (run.empty(*a.shape) for a in (dy, x, c, f))
    run("ddf_forward", sizes, x, c, f, y)
    run("ddf_backward", sizes, x, c, f, dy, dx, dc, df)
    return [y, dx, dc, df]


def filter_norm_inputs(outer, taps, inner, scale=1.0, eps=1e-10, equal=False):
    x, dy = normal(outer, taps, inner), normal(outer, taps, inner, seed=1)
    return [np.full_like(x, 0.7) if equal else x, dy]


def filter_norm(run, x, dy, outer, taps, inner, scale=1.0, eps=1e-10, equal=False):
    x, dy, factors = run.tensor(x), run.tensor(dy), np.array([scale, eps], np.float32)
    y, dx = run.empty(*x.shape), run.empty(*x.shape)
    run("filter_norm_forward", [outer, taps, inner], factors, x, y)
    run("filter_norm_backward", [outer, taps, inner], factors, x, dy, dx)
    return [y, dx]


def interpolate_inputs(shape, sigma=3.0, window=7, kind="soft"):
    batch, _, height, width = shape
    mask = np.random.default_rng(2).random((batch, 1, height, width))
    mask = (mask < 0.35).astype(float) if kind == "hard" else mask
    return [normal(*shape), mask.astype(np.float32), normal(*shape, seed=1)]


def interpolate(run, features, mask, dy, shape, sigma=3.0, window=7, kind="soft"):
    sizes = [*shape, min(window // 2, max(shape[2:]))]
    features, dy, mask, sigma = run.tensor(features), run.tensor(dy), np.float32(mask), np.array(sigma, np.float32)
    y, inactive, dfeatures = run.empty(*shape), run.empty(*shape), run.empty(*shape)
    dmask, dsigma = np.full_like(mask, np.nan), np.full_like(sigma, np.nan)
    run("interpolate_forward", sizes, features, mask, sigma, y)
    run("interpolate_inactive", sizes, features, mask, sigma, inactive)
    run("interpolate_backward", sizes, features, mask, sigma, dy, dfeatures, dmask, dsigma)
    return [y, inactive, dfeatures, dmask, dsigma]


def octave_inputs(planes, height, width):
    half = (planes, (height + 1) // 2, (width + 1) // 2)
    return [normal(planes, height, width), normal(*half, seed=1)]


def octave(run, large, small, planes, height, width):
    """Pooling `large`, its gradient from `small`; their upsampled sum, that without a first term; b's gradient."""
    large, small, sizes = run.tensor(large), run.tensor(small), [planes, height, width]
    pooled, spread, added, upsampled, summed = (run.empty(*a.shape) for a in (small, large, large, large, small))
    run("octave_pool_forward", sizes, large, pooled)
    run("octave_pool_backward", sizes, small, spread)
    run("octave_upsample_add_forward", sizes, large, small, added)
    run("octave_upsample_add_forward", sizes, None, small, upsampled)
    run("octave_upsample_add_backward", sizes, large, summed)
    return [pooled, spread, added, upsampled, summed]


def sampled_sizes(shape, kernel, stride, padding, dilation):
    spans = (n + 2 * p - d * (k - 1) - 1 for n, p, d, k in zip(shape[2:], padding, dilation, kernel))
    return tuple(span // s + 1 for span, s in zip(spans, stride))


def sampled_inputs(shape, count, out_channels, geometry):
    out = sampled_sizes(shape, *geometry)
    positions = np.random.default_rng(3).permutation(shape[0] * out[0] * out[1])[:count]
    return [normal(*shape), normal(count, out_channels, seed=1), positions.astype(np.int64)]


def sampled(run, x, rows, positions, shape, count, out_channels, geometry):
    """The matrix gathered from x, and an image of zeros with `rows` scattered into it.

    `geometry` is kernel, stride, padding and dilation, each of height and width.
    """
    out, kernel = sampled_sizes(shape, *geometry), geometry[0]
    x, rows = run.tensor(x), run.tensor(rows)
    gathered = run.empty(count, shape[1] * kernel[0] * kernel[1])
    image = run.tensor(np.zeros((shape[0], out_channels, *out)))
    run("sampled_gather", [count, *shape[1:], *out, *sum(geometry, ())], x, positions, gathered)
    run("sampled_scatter", [count, out_channels, out[0] * out[1]], rows, positions, image)
    return [gathered, image]


DDF_SHAPES = [
    # rows of whole packs: one, several tiles and chunks of channels, one row, one column of packs
    *({"shape": s} for s in [(1, 1, 4, 4), (2, 3, 5, 8), (1, 33, 9, 16), (1, 34, 3, 132), (1, 2, 1, 4), (1, 2, 37, 4)]),
    # others
    *({"shape": s} for s in [(1, 1, 1, 1), (2, 3, 5, 7), (1, 33, 7, 7), (1, 9, 40, 37), (1, 6, 70, 5)]),
    {"shape": (2, 3, 5, 8), "kernel": 1},
    {"shape": (1, 17, 7, 5), "kernel": 1, "stride": 2},
    {"shape": (1, 3, 9, 8), "stride": 2},
    {"shape": (2, 3, 11, 13), "stride": 3, "dilation": 2},
    {"shape": (1, 2, 9, 20), "dilation": 2},
    {"shape": (1, 2, 17, 12), "dilation": 8},
    {"shape": (1, 5, 6, 9), "kernel": 5},
    {"shape": (2, 2, 12, 7), "kernel": 5, "stride": 2, "dilation": 8},
    {"shape": (1, 3, 8, 8), "kernel": 7, "stride": 3},
    {"shape": (1, 9, 9, 10), "kernel": 17},  # more taps than are staged at once
    {"shape": (600, 17, 1, 1)},  # enough tiles for one range of channels in two stages
]
SAMPLED = [
    ((1, 1, 1, 1), 1, 1, ((1, 1), (1, 1), (0, 0), (1, 1))),
    ((2, 33, 9, 7), 70, 33, ((1, 1), (1, 1), (0, 0), (1, 1))),
    ((2, 5, 9, 7), 31, 40, ((3, 3), (1, 1), (1, 1), (1, 1))),
    ((3, 7, 11, 13), 33, 4, ((3, 5), (2, 1), (2, 3), (2, 1))),
]
CASES = [
    *((ddf, {**case, "mode": mode}) for case in DDF_SHAPES[:-1] for mode in ("mul", "add")),
    (ddf, DDF_SHAPES[-1]),
    *((filter_norm, dict(zip(("outer", "taps", "inner"), s))) for s in [(1, 9, 1), (2, 9, 300), (33, 9, 1)]),
    *((filter_norm, dict(zip(("outer", "taps", "inner"), s))) for s in [(3, 25, 7), (3, 1, 5)]),
    (filter_norm, {"outer": 2, "taps": 9, "inner": 35, "scale": 0.4714, "eps": 0.1}),
    (filter_norm, {"outer": 2, "taps": 9, "inner": 3, "equal": True}),
    (filter_norm, {"outer": 2, "taps": 49, "inner": 3, "equal": True}),
    *((interpolate, {"shape": s}) for s in [(1, 1, 1, 1), (2, 3, 5, 4), (1, 33, 7, 7), (3, 2, 1, 9), (1, 2, 70, 5)]),
    (interpolate, {"shape": (1, 2, 40, 70), "sigma": 1.0}),
    (interpolate, {"shape": (600, 3, 2, 2), "sigma": 0.5}),
    (interpolate, {"shape": (2, 3, 17, 21), "kind": "hard"}),
    (interpolate, {"shape": (2, 3, 9, 8), "sigma": 0.3, "window": 5, "kind": "hard"}),
    (interpolate, {"shape": (1, 2, 9, 8), "sigma": 1e-3, "window": 3}),
    (interpolate, {"shape": (1, 2, 9, 8), "sigma": -2.0, "window": 13}),
    (interpolate, {"shape": (1, 2, 6, 5), "sigma": 2.0, "window": 1}),
    (interpolate, {"shape": (1, 2, 33, 40), "sigma": 0.2, "window": 41}),
    *((octave, dict(zip(("planes", "height", "width"), s))) for s in [(1, 1, 1), (3, 2, 2), (6, 5, 7), (2, 8, 12)]),
    *((octave, dict(zip(("planes", "height", "width"), s))) for s in [(2, 7, 4), (2, 1, 9), (1, 131, 3), (200, 2, 2)]),
    *((sampled, dict(zip(("shape", "count", "out_channels", "geometry"), s))) for s in SAMPLED),
]
INPUTS = {
    ddf: ddf_inputs,
    filter_norm: filter_norm_inputs,
    interpolate: interpolate_inputs,
    octave: octave_inputs,
    sampled: sampled_inputs,
}


def main(library: str, toy: str = "") -> None:
    run = Emulation(Path(library))
    if toy:
        run("toy", [int(toy)], np.zeros(64, np.float32))
        return
    for run.dtype in ("float32", "bfloat16"):
        for op, case in CASES:
            op(run, *INPUTS[op](**case), **case)


if __name__ == "__main__":
    main(*sys.argv[1:])
