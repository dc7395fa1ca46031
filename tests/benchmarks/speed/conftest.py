"""Engines of a few lines, without Paddle and the peers, so that the machinery is tested in tenths of a second."""

from __future__ import annotations

import sys

import pytest

from benchmarks.speed import engines, session

LIMITS = {"gflops": 100.0, "gb_per_s": 10.0}
SCRIPT = """
import os
import time
from peers.serve import Job, serve

def sleep(ms):
    print("noise of a library")
    return Job(lambda: time.sleep(ms / 1e3), lambda: {"parameters": 3, "macs": 1000, "losses": [0.5]})

def crash():
    raise RuntimeError("no such convolution")

def hang():
    time.sleep(60)

def linger():
    os.closerange(3, 64)  # the answers' end of the pipe, as a process does that hangs while it ends
    time.sleep(60)

def array(megabytes):
    return Job(lambda: bytearray(megabytes << 20), lambda: {"input_mb": 64.0, "output_mb": 0.0})

def absent():
    return Job(list, lambda: {"missing": "ops.absent"})

serve({"sleep": sleep, "crash": crash, "hang": hang, "linger": linger, "array": array, "absent": absent})
"""


@pytest.fixture
def fake_engines(monkeypatch):
    """Let every engine run the jobs of SCRIPT, and the machine's limits be LIMITS."""
    monkeypatch.setattr(engines, "_command", lambda *_: [sys.executable, "-c", SCRIPT])
    monkeypatch.setattr(engines, "_environment", lambda *_: {"PYTHONPATH": str(engines.HERE)})
    monkeypatch.setattr(session, "_limits", lambda threads: LIMITS)
