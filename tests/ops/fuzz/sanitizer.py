"""Python processes whose kernels are compiled with AddressSanitizer, which stops them at the first wrong access."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import paddle

from ppeffconv.ops import build, loader

ROOT = Path(__file__).resolve().parents[3]
# of this machine's vectors alone, and with few optimisations: compiles in a fraction of the time
ONLY = f"-DPPEFFCONV_ONLY={loader.INSTRUCTIONS.index(loader.instructions() or 'generic')}"
FLAGS = f"-fsanitize=address -fno-omit-frame-pointer -g1 -O1 {ONLY}"
# leaks, mixed allocators and doubled globals are Python's and Paddle's own
OPTIONS = "detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0:allocator_may_return_null=1:abort_on_error=0"


def library(name: str) -> str:
    """Path of one of the compiler's shared libraries, or an empty string."""
    program = build.compiler()
    if program is None:
        return ""
    found = subprocess.run([program, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else ""


def environment(code: str = "from ppeffconv.ops import build; build.build()", **extra: str) -> dict[str, str]:
    """The environment in which `python` finds sanitised kernels; ``code`` compiles them if that has not been done."""
    variables = {**os.environ, "PPEFFCONV_OPS_FLAGS": FLAGS, **extra}
    done = python(["-c", code], variables)
    assert done.returncode == 0, done.stderr
    return {
        **variables,
        # the sanitizer looks for what throws C++ exceptions when it starts, which Python itself does not load
        "LD_PRELOAD": f"{library('libasan.so')}:{library('libstdc++.so.6')}",
        # Paddle opens its libraries by bare names, relative to itself; through the sanitizer they would not be found
        "LD_LIBRARY_PATH": paddle.sysconfig.get_lib(),
        "ASAN_OPTIONS": OPTIONS,
    }


def python(arguments: list[str], variables: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository's root."""
    command = [sys.executable, "-W", "ignore", "-X", "faulthandler", *arguments]
    return subprocess.run(command, env={**variables, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True)
