"""Threads and memory of a training or inference process on CPU, where Paddle's defaults leave speed behind.

Paddle computes in one thread unless told otherwise. And it maps every large tensor anew and gives it back after use, so
that elementwise ops spend most of their time in page faults: a ReLU on 26 MB takes two to nine times as long as with
the allocator keeping what it has.
"""

from __future__ import annotations

import ctypes
import os
import sys

import paddle

from .device import is_gpu
from .logger import get_logger

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 2**31 - 1
TOP_PAD = 64 << 20  # bytes by which the heap grows at once


def tune() -> None:
    """Use the machine's cores and keep freed memory, and say so in the log; ``PPEFFCONV_TUNE=0`` leaves both alone.

    A number of threads above 1 in ``OMP_NUM_THREADS`` is kept. Processes of one launch share the cores. GPU runs are
    left alone.
    """
    if os.environ.get("PPEFFCONV_TUNE") == "0" or is_gpu():
        return
    wanted = int(os.environ.get("OMP_NUM_THREADS") or 1)
    count = wanted if wanted > 1 else max(1, physical_cores() // int(os.environ.get("PADDLE_TRAINERS_NUM") or 1))
    set_threads(count)
    memory = "freed memory is kept for the next tensor" if keep_memory() else "the system's allocator is left alone"
    get_logger().info(f"CPU: {count} thread{'s' * (count > 1)}, {memory} (PPEFFCONV_TUNE=0: Paddle's defaults)")


def set_threads(count: int) -> None:
    """Let Paddle's ops and the compiled kernels use ``count`` threads."""
    paddle.set_flags({"FLAGS_paddle_num_threads": count})
    paddle.base.core.set_num_threads(count)


def restore_threads() -> None:
    """Give Paddle's ops and the compiled kernels the threads that Paddle's flag names."""
    paddle.base.core.set_num_threads(threads())


def threads() -> int:
    """How many threads Paddle's ops and the compiled kernels use."""
    return paddle.get_flags("FLAGS_paddle_num_threads")["FLAGS_paddle_num_threads"]


def keep_memory() -> bool:
    """Have malloc reuse freed memory instead of returning it to the system; False where that is not glibc."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, TOP_PAD))
    return min(libc.mallopt(option, value) for option, value in settings) == 1


def physical_cores() -> int:
    """Cores that this process may use; hyper-threads of one core count once."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    try:
        return len({_siblings(cpu) for cpu in allowed})
    except OSError:
        return len(allowed)


def _siblings(cpu: int) -> str:
    with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", encoding="ascii") as file:
        return file.read().strip()
