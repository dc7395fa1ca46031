"""AVX-512, AVX2 and generic variants of our kernels, each in a process, compute the same values and gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles
from tests.ops.programs import by_engine, everything, images

ROOT = Path(__file__).resolve().parents[2]
compiled = pytest.mark.skipif("ddf" not in loader.library().ops, reason="kernels not compiled")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # of the largest magnitude
# vectors without products of bfloat16 round elsewhere
TOLERANCE_OF_PROGRAMS = {"float32": 1e-5, "bfloat16": 2e-2}
WIDTHS = (1, 7, 15, 16, 17, 33)  # around one and two vectors of every variant


def ddf(shape):
    batch, channels, height, width = shape
    taps = 9
    arrays = oracles.random(*shape), oracles.random(batch, channels, taps), oracles.random(batch, taps, height, width)
    return lambda *tensors: ops.ddf(*tensors, dilation=2, mode="mul", backend="cpu"), arrays


def sample_interpolate(shape):
    batch, _, height, width = shape
    mask = np.random.default_rng(1).random((batch, 1, height, width))
    arrays = oracles.random(*shape), mask, np.array([1.3])
    return lambda *tensors: ops.sample_interpolate(*tensors, backend="cpu"), arrays


def sampled_conv2d(shape):
    batch, channels, height, width = shape
    mask = paddle.to_tensor(np.random.default_rng(1).random((batch, 1, height, width)) < 0.5)

    def run(x, weight):
        with paddle.no_grad():
            return ops.sampled_conv2d(x, weight, mask, padding=1, backend="cpu")

    return run, (oracles.random(*shape), oracles.random(9, channels, 3, 3, seed=2))


def results() -> dict[str, np.ndarray]:
    """Values and, where there are any, gradients of each op, type and width; values of programs."""
    found = {"instructions": np.array(loader.instructions())}
    for make in (ddf, sample_interpolate, sampled_conv2d):
        for dtype in TOLERANCE:
            for width in WIDTHS:
                run, arrays = make((2, 5, 6, width))
                tensors = [oracles.tensor(a.astype(dtype), grad=True) for a in arrays]
                y = run(*tensors)
                name = f"{make.__name__} {dtype} {width}"
                found[name] = y.numpy()
                if not y.stop_gradient:
                    (y * paddle.to_tensor(oracles.random(*y.shape, seed=5).astype(dtype))).sum().backward()
                    found |= {f"{name} gradient {i}": t.grad.numpy() for i, t in enumerate(tensors)}
    for dtype in TOLERANCE_OF_PROGRAMS:
        for width in WIDTHS:
            for i, y in enumerate(by_engine(everything(width, dtype), images(2, 3, (13, 12)))):
                found[f"deployed {dtype} {width} {i}"] = y
    return found


def tolerance(name: str, dtype: str) -> float:
    op, precision = name.split(" ")[:2]
    return TOLERANCE_OF_PROGRAMS[precision] if op == "deployed" else TOLERANCE[dtype]


def results_of(variant: str, path: Path) -> dict[str, np.ndarray]:
    code = f"import numpy, tests.ops.test_instructions as t; numpy.savez({str(path)!r}, **t.results())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PPEFFCONV_CPU": variant}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(path))


@compiled
@pytest.mark.parametrize("variant", loader.INSTRUCTIONS)
def test_every_variant_computes_the_same(variant, tmp_path):
    got = results_of(variant, tmp_path / "results.npz")
    if str(got.pop("instructions")) != variant:
        pytest.skip(f"this CPU has no {variant}")
    expected = results()
    assert set(got) == set(expected) - {"instructions"}
    for name, values in got.items():
        scale = max(np.abs(expected[name]).max(), 1.0)
        assert np.abs(values - expected[name]).max() <= tolerance(name, str(values.dtype)) * scale, name


@compiled
def test_an_unknown_variant_is_told_and_plain_paddle_runs(monkeypatch):
    monkeypatch.setenv("PPEFFCONV_CPU", "avx1024")
    library = loader._load()
    assert not library.ops
    assert "PPEFFCONV_CPU must be one of generic, avx2, avx512, got 'avx1024'" in library.reason


@pytest.mark.parametrize("value", ["-1", "1.5", "2 GB", "99999999999999"])
def test_a_memory_limit_that_is_no_number_of_megabytes(monkeypatch, value):
    monkeypatch.setenv("PPEFFCONV_MEMORY", value)
    assert loader._load().reason.startswith("PPEFFCONV_MEMORY must be megabytes, from 0 to")
