"""`python -m ppeffconv.ops`: what it says, once, and without Paddle too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppeffconv.ops import __main__ as doctor
from ppeffconv.ops import backend, loader

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("library", [loader.Library(reason="no such compiler"), loader.library()], ids=["none", "own"])
def test_each_reason_once(monkeypatch, library):
    monkeypatch.setattr(loader, "_library", library)
    text = doctor.report()
    reason = library.reason or str(library.path)
    lines = text[text.index("vectors:") :]
    assert lines.count(reason) <= 2  # kernels for CPUs alone, and for GPUs too
    assert all(op in lines for op in backend.KERNELS)


def test_without_paddle():
    """Without any installed package, in fact."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-m", "ppeffconv.ops"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "Paddle:        not installed" in done.stdout
    assert "pip install paddlepaddle==3.3.1" in done.stdout
    other = subprocess.run(
        [sys.executable, "-S", "-c", "import ppeffconv"], env=environment, capture_output=True, text=True
    )
    assert "ImportError: ppeffconv needs PaddlePaddle" in other.stderr
