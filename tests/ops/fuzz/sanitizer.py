"""Python processes whose kernels are compiled with AddressSanitizer, which stops them at the first wrong access."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ppeffconv.ops import build

ROOT = Path(__file__).resolve().parents[3]
FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g1"
# leaks and mixed allocators are Paddle's and Python's own; without its pool, Paddle's tensors have guards around them
OPTIONS = "detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0:allocator_may_return_null=1:abort_on_error=0"


def runtime() -> str:
    """Path of the compiler's libasan.so, or an empty string."""
    program = build.compiler()
    if program is None:
        return ""
    found = subprocess.run([program, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else ""


def environment(**extra: str) -> dict[str, str]:
    """The environment in which `python` finds sanitised kernels; compiles them if that has not been done."""
    variables = {**os.environ, "PPEFFCONV_OPS_FLAGS": FLAGS, **extra}
    done = python(["-m", "ppeffconv.ops", "build"], variables)
    assert done.returncode == 0, done.stderr
    return {**variables, "LD_PRELOAD": runtime(), "ASAN_OPTIONS": OPTIONS}


def python(arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository's root."""
    command = [sys.executable, "-W", "ignore", "-X", "faulthandler", *arguments]
    return subprocess.run(command, env={**variables, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True)
