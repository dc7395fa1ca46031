"""Threads and allocator of a process on CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppeffconv.utils import cores

CODE = """
import resource, paddle
from ppeffconv.utils import logger, runtime
logger.setup()
runtime.tune()
x = paddle.ones([64, 64, 40, 40])
for _ in range(20):
    y = paddle.nn.functional.relu(x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    y = paddle.nn.functional.relu(x)
faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5
print(paddle.get_flags("FLAGS_paddle_num_threads")["FLAGS_paddle_num_threads"], faults)
"""


def run(**environment):
    """(threads, page faults of a ReLU on 26 MB, log) of a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return *map(int, result.stdout.split()), result.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_memory_is_kept_and_the_cores_are_used():
    threads, faults, log = run(PPEFFCONV_TUNE="1")
    assert threads == cores.threads()
    assert faults < 100  # one for each 4 kB of 26 MB without
    assert "PPEFFCONV_TUNE=0" in log


def test_switched_off():
    threads, _, log = run(PPEFFCONV_TUNE="0")
    assert threads == 1
    assert "CPU:" not in log


@pytest.mark.parametrize(
    ("environment", "blocktime"),
    [({}, 1), ({"KMP_BLOCKTIME": "7"}, 7), ({"OMP_WAIT_POLICY": "passive"}, 0), ({"PPEFFCONV_TUNE": "0"}, 200)],
)
def test_threads_without_work_sleep_soon_unless_the_user_says_how_they_wait(environment, blocktime):
    code = (
        "import ctypes, paddle; from pathlib import Path; from ppeffconv.utils import runtime; runtime.tune()\n"
        "print(ctypes.CDLL(str(Path(paddle.__file__).parent / 'libs' / 'libiomp5.so')).kmp_get_blocktime())"
    )
    how = ("KMP_BLOCKTIME", "KMP_LIBRARY", "OMP_WAIT_POLICY")
    kept = {name: value for name, value in os.environ.items() if name not in how}
    environment = {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "PPEFFCONV_TUNE": "1", **environment}
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(result.stdout) == blocktime
