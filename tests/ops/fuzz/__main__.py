"""`python -m tests.ops.fuzz [--op conv2d] [--cases 5000] [--seed 0] [--asan]`: fuzz ops, each in its own process."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from . import sanitizer
from .entries import ENTRIES
from .run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ops.fuzz", description=__doc__)
    parser.add_argument("--op", choices=ENTRIES, help="default: all of them, one after another")
    parser.add_argument("--cases", type=int, default=5000, help="calls of each op")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--asan", action="store_true", help="with kernels compiled under AddressSanitizer")
    parser.add_argument("--record", help=argparse.SUPPRESS)  # of a child: the file that holds its latest call
    args = parser.parse_args()
    if args.record:
        with open(args.record, "r+b", buffering=0) as file:
            run(args.op, args.cases, args.seed, lambda case: _overwrite(file, case))
        return 0
    environment = sanitizer.environment() if args.asan else dict(os.environ)
    failed = [op for op in ([args.op] if args.op else ENTRIES) if not _fuzz(op, args, environment)]
    return 1 if failed else 0


def _overwrite(file, case: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(case.encode())


def _fuzz(op: str, args: argparse.Namespace, environment: dict[str, str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        latest = Path(folder) / "case"
        latest.touch()
        options = ["--op", op, "--cases", str(args.cases), "--seed", str(args.seed), "--record", str(latest)]
        done = sanitizer.python(["-m", "tests.ops.fuzz", *options], environment)
        if done.returncode == 0:
            print(f"{op}: {args.cases} calls, seed {args.seed}: passed", flush=True)
            return True
        print(f"{op}: exit code {done.returncode}, the latest call was\n  {latest.read_text()}\n{done.stderr[-6000:]}")
        return False


if __name__ == "__main__":
    sys.exit(main())
