"""The machine's measured limits, against which a time is judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle

from ppeffconv import ops

from .peers.serve import Job

MEGABYTES = 256  # of each array of the bandwidth's measurement: beyond any cache
REPEATS = 15


def measure_limits(threads: int) -> Job:
    """The best of several repeats of a few kinds of work: dense products for arithmetic, long arrays for bandwidth."""
    limits = {"gflops": max(_convolution(), _product()), "gb_per_s": _bandwidth(threads)}
    return Job(lambda: None, lambda: limits)


def _convolution() -> float:
    x, weight = paddle.randn([8, 256, 56, 56]), paddle.randn([256, 256, 1, 1])
    return 2 * x.size * 256 / _seconds(lambda: ops.conv2d(x, weight)) / 1e9


def _product() -> float:
    a, b = paddle.randn([2048, 2048]), paddle.randn([2048, 2048])
    return 2 * 2048**3 / _seconds(lambda: paddle.matmul(a, b)) / 1e9


def _bandwidth(threads: int) -> float:
    """Bytes named by the program per second, as STREAM counts: the better of copying and adding."""
    a, b, c = (np.ones([threads, MEGABYTES * 2**18 // threads], np.float32) for _ in range(3))
    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the interpreter's lock

        def everywhere(work: Callable[..., object], *arrays: np.ndarray) -> float:
            return sum(array.nbytes for array in arrays) / _seconds(lambda: list(pool.map(work, *arrays)))

        return max(everywhere(np.copyto, a, b), everywhere(lambda x, y, z: np.add(x, y, out=z), a, b, c)) / 1e9


def _seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
