"""`python -m tests.ops.fuzz [--op conv2d] [--cases 5000] [--seed 0] [--asan]`: fuzz ops in a process of their own."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from . import sanitizer
from .run import FUZZERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ops.fuzz", description=__doc__)
    parser.add_argument("--op", choices=FUZZERS, action="append", help="may be repeated; default: all of them")
    parser.add_argument("--cases", type=int, default=5000, help="calls of each op")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--asan", action="store_true", help="with kernels compiled under AddressSanitizer")
    parser.add_argument("--record", help=argparse.SUPPRESS)  # of the child: the file that holds its latest call
    args = parser.parse_args()
    if not args.record:
        return _watch(args.asan)
    with open(args.record, "r+b", buffering=0) as file:
        for op in args.op or FUZZERS:
            FUZZERS[op](args.cases, args.seed, lambda case: _overwrite(file, case))
            print(f"{op}: {args.cases} calls, seed {args.seed}: passed", flush=True)
    return 0


def _overwrite(file, case: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(case.encode())


def _watch(asan: bool) -> int:
    """Run the same command in a child, and tell which call was its last if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        latest = Path(folder) / "case"
        latest.touch()
        command = ["-m", "tests.ops.fuzz", *sys.argv[1:], "--record", str(latest)]
        done = sanitizer.python(command, sanitizer.environment() if asan else os.environ)
        print(done.stdout, end="")
        if done.returncode:
            errors = done.stderr
            essence = errors if len(errors) < 6000 else f"{errors[:3000]}\n...\n{errors[-3000:]}"
            print(f"exit code {done.returncode}, the latest call was\n  {latest.read_text()}\n{essence}")
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
