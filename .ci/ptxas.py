"""Reads what `ptxas -v` says of each kernel, prints a table, and fails where one exceeds the limits.

python .ci/ptxas.py LOG...
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_REGISTERS = 128  # two blocks of 256 threads on every architecture
MAX_SHARED = 48 << 10  # bytes that a block gets without being asked

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


@dataclass
class Kernel:
    """One kernel on one architecture: registers per thread, bytes of static shared memory, of stack and of spills."""

    name: str
    architecture: str
    registers: int = -1
    shared: int = 0
    stack: int = -1
    spills: int = -1

    def faults(self) -> list[str]:
        """In words, what exceeds the limits, or is not known."""
        checks = (
            (self.registers < 0 or self.spills < 0, "ptxas did not say what it uses"),
            (self.spills > 0, f"{self.spills} bytes of spilled registers"),
            (self.stack > 0, f"{self.stack} bytes of stack"),
            (self.registers > MAX_REGISTERS, f"{self.registers} registers, more than {MAX_REGISTERS}"),
            (self.shared > MAX_SHARED, f"{self.shared} bytes of shared memory, more than {MAX_SHARED}"),
        )
        return [text for failed, text in checks if failed]


def parse(log: str) -> list[Kernel]:
    """The kernels of one log, in its order."""
    kernels: list[Kernel] = []
    for line in log.splitlines():
        if match := ENTRY.search(line):
            kernels.append(Kernel(*match.groups()))
        elif not kernels:
            continue
        elif match := SPILLS.search(line):
            kernels[-1].stack, kernels[-1].spills = int(match[1]), int(match[2]) + int(match[3])
        elif match := USED.search(line):
            kernels[-1].registers = int(match[1])
            shared = SHARED.search(line)
            kernels[-1].shared = int(shared[1]) if shared else 0
    return kernels


def readable(names: list[str]) -> list[str]:
    """C++ names without arguments and the common namespace; as they are where there is no c++filt."""
    try:
        text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return names
    short = (re.sub(r"\(.*|^void |ppeffconv::cuda::", "", name) for name in text.splitlines())
    return [name.replace("__nv_bfloat16", "bfloat16").replace("__half", "half") for name in short]


def table(kernels: list[Kernel]) -> str:
    """A row for each kernel and its figures on each architecture."""
    architectures = sorted({kernel.architecture for kernel in kernels})
    rows: dict[str, dict[str, str]] = {}
    for kernel, name in zip(kernels, readable([kernel.name for kernel in kernels])):
        figures = f"{kernel.registers:4} {kernel.shared:6} {kernel.spills:3}"
        rows.setdefault(name, {})[kernel.architecture] = figures
    width = max(map(len, rows), default=0)
    lines = [f"{'kernel: registers, shared, spills':{width}}  " + "  ".join(f"{a:>15}" for a in architectures)]
    for name, figures in sorted(rows.items()):
        lines.append(f"{name:{width}}  " + "  ".join(f"{figures.get(a, ''):>15}" for a in architectures))
    return "\n".join(lines)


def main(paths: list[str]) -> int:
    kernels = [kernel for path in paths for kernel in parse(Path(path).read_text(encoding="utf-8"))]
    faults = [f"{kernel.name} ({kernel.architecture}): {text}" for kernel in kernels for text in kernel.faults()]
    lines = [table(kernels), f"{len(kernels)} kernels, {len(faults)} faults", *faults]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if faults or not kernels else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
