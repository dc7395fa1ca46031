"""The doctor: `python -m ppeffconv.ops` says what runs the ops and why; `python -m ppeffconv.ops build` compiles."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys

import paddle

from ..utils import logger
from . import backend, build, loader

CPU_FEATURES = ("sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile")


def report() -> str:
    """What runs each op here, and what the answer depends on."""
    facts = {
        "Paddle": f"{paddle.version.full_version} ({paddle.version.commit[:12]}), Python {platform.python_version()}",
        "threads": f"{paddle.get_flags('FLAGS_paddle_num_threads')['FLAGS_paddle_num_threads']} of {os.cpu_count()}",
        "compiler": _version(build.compiler(), "install g++, or name another one in CXX"),
        "CUDA": _cuda(),
        "CPU": _cpu(),
        "sources": _or_error(build.source_folder),
        "looked for": _or_error(lambda: ", ".join(map(str, build.candidates()))),
        "PPEFFCONV_OPS": loader.mode(),
        "vectors": f"{loader.instructions() or 'none'} (PPEFFCONV_CPU={'|'.join(loader.INSTRUCTIONS)} narrows them)",
    }
    lines = [f"{name + ':':<15}{value}" for name, value in facts.items()]
    lines += [f"{op + ':':<24}{what}" for op, what in backend.status().items()]
    if loader.mode() != "reference" and not loader.library().ops:
        lines.append("to compile the kernels: python -m ppeffconv.ops build")
    return "\n".join(lines)


def _version(program: str | None, remedy: str) -> str:
    """A compiler and the line that names its version; nvcc ends with it."""
    if program is None:
        return f"none: {remedy}"
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    lines = text.splitlines() or ["version unknown"]
    return f"{program}, {lines[-1 if program.endswith('nvcc') else 0]}"


def _cuda() -> str:
    if not paddle.is_compiled_with_cuda():
        return "none: this Paddle is for CPUs"
    compiler = _version(build.cuda_compiler(), "no nvcc, so no kernels for GPUs; install the toolkit, set CUDA_HOME")
    return f"Paddle's {paddle.version.cuda()}, {paddle.device.cuda.device_count()} GPUs; compiler {compiler}"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            known = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        known = []
    return f"{platform.machine()} {' '.join(f for f in CPU_FEATURES if f in known)}".strip()


def _or_error(fact) -> str:
    try:
        return str(fact())
    except RuntimeError as error:
        return str(error)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ppeffconv.ops", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("doctor", "build"), default="doctor")
    parser.add_argument("--optional", action="store_true", help="a build that is not possible is no failure")
    args = parser.parse_args()
    logger.setup()
    if args.action == "build":
        try:
            build.build()
        except (build.BuildError, OSError) as error:
            message = str(error) if not args.optional else str(error).splitlines()[0]
            sys.stderr.write(f"the kernels were not compiled, plain Paddle runs every op: {message}\n")
            return 0 if args.optional else 1
    sys.stdout.write(report() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
