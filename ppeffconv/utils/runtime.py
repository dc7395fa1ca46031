"""Threads and memory of a training or inference process on CPU, where Paddle's defaults leave speed behind.

Paddle computes in one thread unless told otherwise. And it maps every large tensor anew and gives it back after use, so
that elementwise ops spend most of their time in page faults: a ReLU on 26 MB takes two to nine times as long as with
the allocator keeping what it has.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import paddle

from . import cores
from .device import is_gpu
from .logger import get_logger

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 2**31 - 1
TOP_PAD = 64 << 20  # bytes by which the heap grows at once


def tune() -> None:
    """Use the cores (`cores.threads`) and keep freed memory, and say so; ``PPEFFCONV_TUNE=0`` leaves both alone.

    GPU runs are left alone.
    """
    if os.environ.get("PPEFFCONV_TUNE") == "0" or is_gpu():
        return
    count = cores.threads()
    set_threads(count)
    rest_soon()
    memory = "freed memory is kept for the next tensor" if keep_memory() else "the system's allocator is left alone"
    get_logger().info(f"CPU: {count} thread{'s' * (count > 1)}, {memory} (PPEFFCONV_TUNE=0: Paddle's defaults)")


def forget_paddles_wish() -> None:
    """Leave ``OMP_NUM_THREADS`` in the environment as the user has set it, or has not.

    OpenMP must have read what Paddle wrote there, or other threads of this process would compute in teams of their own.
    """
    if not cores.WANTED:
        restore_threads()
    cores.give_back_the_users_setting()


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


def rest_soon() -> None:
    """Have threads that wait for one another sleep after a millisecond, unless the environment says how they wait.

    Intel's OpenMP lets them spin for 200 ms, and a core that spins is one that a thread with work may lack: beside
    another process on one of two cores a training step then takes twice as long.
    """
    if not os.environ.keys().isdisjoint(("KMP_BLOCKTIME", "OMP_WAIT_POLICY", "KMP_LIBRARY")):
        return
    openmp = Path(paddle.__file__).parent / "libs" / "libiomp5.so"
    if openmp.is_file():
        ctypes.CDLL(str(openmp)).kmp_set_blocktime(1)


def keep_memory() -> bool:
    """Have malloc reuse freed memory instead of returning it to the system; False where that is not glibc."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, TOP_PAD))
    return min(libc.mallopt(option, value) for option, value in settings) == 1


forget_paddles_wish()  # as early as may be: Paddle has just been imported
