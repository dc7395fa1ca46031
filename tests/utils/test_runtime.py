"""Threads and allocator of a process on CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppeffconv.utils import runtime

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
    threads, faults, log = run(OMP_NUM_THREADS="1", PPEFFCONV_TUNE="1")
    assert threads == runtime.physical_cores()
    assert faults < 100  # one for each 4 kB of 26 MB without
    assert "PPEFFCONV_TUNE=0" in log


def test_switched_off():
    threads, _, log = run(OMP_NUM_THREADS="1", PPEFFCONV_TUNE="0")
    assert threads == 1
    assert "CPU:" not in log


def test_processes_of_a_launch_share_the_cores():
    assert run(OMP_NUM_THREADS="1", PADDLE_TRAINERS_NUM="64", PPEFFCONV_TUNE="1")[0] == 1


def test_a_given_number_of_threads_is_kept():
    assert run(OMP_NUM_THREADS="3", PPEFFCONV_TUNE="1")[0] == 3


def test_physical_cores():
    assert 1 <= runtime.physical_cores() <= os.cpu_count()
