"""The doctor: `python -m ppeffconv.ops` says what runs the ops and why; `python -m ppeffconv.ops build` compiles."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from importlib.util import find_spec

CPU_FEATURES = ("sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile")
WITHOUT_PADDLE = (
    "not installed, so nothing of this package runs; pip install paddlepaddle==3.3.1 for CPU, or paddlepaddle-gpu from "
    "https://www.paddlepaddle.org.cn/install/quick"
)
INDENT = {"initial_indent": "    ", "subsequent_indent": "    "}


def report() -> str:
    """What runs each op here, and what the answer depends on."""
    if find_spec("paddle") is None:
        compiler = os.environ.get("CXX") or shutil.which("g++")
        return _table(
            {
                "Paddle": WITHOUT_PADDLE,
                "Python": platform.python_version(),
                "compiler": _version(compiler, "install g++, or name another one in CXX"),
                "CPU": _cpu(),
            }
        )
    import paddle

    from ..utils import cores, runtime
    from . import backend, build, loader

    facts = {
        "Paddle": f"{paddle.version.full_version} ({paddle.version.commit[:12]}), Python {platform.python_version()}",
        "threads": f"{runtime.threads()}, a program that tunes itself uses {cores.threads()}",
        "compiler": _version(build.compiler(), "install g++, or name another one in CXX"),
        "CUDA": _cuda(),
        "CPU": _cpu(),
        "sources": _or_error(build.source_folder),
        "looked for": _or_error(lambda: ", ".join(map(str, build.candidates()))),
        "PPEFFCONV_OPS": loader.mode(),
        "vectors": f"{loader.instructions() or 'none'} (PPEFFCONV_CPU={'|'.join(loader.INSTRUCTIONS)} narrows them)",
    }
    lines = [_table(facts), *_by_backend(backend.status())]
    if loader.mode() != "reference" and not loader.library().ops:
        lines.append("to compile the kernels: python -m ppeffconv.ops build")
    return "\n".join(lines)


def _table(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name + ':':<15}{value}" for name, value in facts.items())


def _by_backend(status: Mapping[str, str]) -> list[str]:
    """What runs the ops, each answer once with all the ops that it is for."""
    ops: dict[str, list[str]] = {}
    for op, what in status.items():
        ops.setdefault(what, []).append(op)
    return [f"{what}\n{textwrap.fill(', '.join(names), 100, **INDENT)}" for what, names in ops.items()]


def _version(program: str | None, remedy: str) -> str:
    """A compiler and the line that names its version; nvcc ends with it."""
    if program is None:
        return f"none: {remedy}"
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    lines = text.splitlines() or ["version unknown"]
    return f"{program}, {lines[-1 if program.endswith('nvcc') else 0]}"


def _cuda() -> str:
    import paddle

    from . import build

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


def _or_error(fact: Callable[[], object]) -> str:
    try:
        return str(fact())
    except RuntimeError as error:
        return str(error)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m ppeffconv.ops", description=__doc__)
    options.add_argument("action", nargs="?", choices=("doctor", "build"), default="doctor")
    options.add_argument("--optional", action="store_true", help="a build that is not possible is no failure")
    return options


def main() -> int:
    """Say or compile what was asked for; the exit code."""
    args = parser().parse_args()
    from ..utils import logger

    logger.setup()
    if find_spec("paddle") is None:
        sys.stdout.write(report() + "\n")
        return 0 if args.optional else 1
    if args.action == "build" and not _build(args.optional):
        return 0 if args.optional else 1
    sys.stdout.write(report() + "\n")
    return 0


def _build(optional: bool) -> bool:
    """Compile the kernels; False, with the reason on stderr, if that is not possible."""
    from . import build

    try:
        build.build()
    except (build.BuildError, OSError) as error:
        message = str(error).splitlines()[0] if optional else str(error)
        sys.stderr.write(f"the kernels were not compiled, plain Paddle runs every op: {message}\n")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
