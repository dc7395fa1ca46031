"""The emulation itself: it computes what CUDA would, and it catches what is wrong on purpose (`toys.cuh`)."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from . import emulated

BARRIER, NO_BARRIER, BLOCKS, BUTTERFLY, UNINITIALISED, DEADLOCK, DIVERGENCE, OUTSIDE, SHARED, MISALIGNED = range(10)
TOO_MANY_THREADS, TOO_MUCH_MEMORY, NO_BLOCKS = range(10, 13)


def toy(library, which, order=0):
    data = np.arange(64, dtype=np.float32)
    emulated.Emulation(library, order=order)("toy", [which], data)
    return data


def orders(library, which):
    return [toy(library, which, order) for order in emulated.ORDERS]


def test_a_barrier_makes_all_orders_equal(library):
    for data in orders(library, BARRIER):
        np.testing.assert_array_equal(data, (np.arange(64) + 1) % 64)


@pytest.mark.parametrize("which", [NO_BARRIER, BLOCKS])
def test_a_race_shows_as_a_difference_between_orders(library, which):
    first, *others = orders(library, which)
    assert all((first != other).any() for other in others)


def test_shuffles_stay_within_their_warp(library):
    for data in orders(library, BUTTERFLY):
        np.testing.assert_array_equal(data, [sum(range(32))] * 32 + [sum(range(32, 64))] * 32)


def test_shared_memory_begins_as_nan(library):
    assert np.isnan(toy(library, UNINITIALISED)).all()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (DEADLOCK, "a deadlock"),
        (DIVERGENCE, "different __syncthreads"),
        (TOO_MANY_THREADS, "the block is too large"),
        (TOO_MUCH_MEMORY, "more than 48 KB"),
        (NO_BLOCKS, "an empty grid"),
    ],
)
def test_wrong_kernels_and_launches_are_refused(library, which, message):
    with pytest.raises(RuntimeError, match=message):
        toy(library, which)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_round_to_the_nearest_even(library, dtype):
    # averages of four equal numbers: what comes back is the float after one rounding
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-9, 65504, 6e-8, -1.337], np.float32)
    run = emulated.Emulation(library, dtype)
    x, y = run.tensor(values.reshape(-1, 1, 1)), run.empty(len(values), 1, 1)
    run("octave_pool_forward", [len(values), 1, 1], x, y)
    np.testing.assert_array_equal(x, y)


def sanitizers(library, *arguments):
    """Run the cases, or a toy, under the sanitizers; its exit code and what they say."""
    preload = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    # Python itself leaks; and a process that a sanitizer watches must not be preloaded with anything else
    environment = {**os.environ, "LD_PRELOAD": preload.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, "-m", "tests.cuda.emulated", str(library), *map(str, arguments)]
    result = subprocess.run(command, env=environment, cwd=emulated.ROOT, capture_output=True, text=True)
    return result.returncode, result.stderr


def test_all_kernels_are_clean_under_the_sanitizers(sanitized):
    code, message = sanitizers(sanitized)
    assert code == 0, message[-3000:]


@pytest.mark.parametrize(
    ("which", "message"),
    [(OUTSIDE, "heap-buffer-overflow"), (SHARED, "heap-buffer-overflow"), (MISALIGNED, "misaligned address")],
)
def test_the_sanitizers_catch_what_is_wrong_on_purpose(sanitized, which, message):
    code, output = sanitizers(sanitized, which)
    assert code
    assert message in output
