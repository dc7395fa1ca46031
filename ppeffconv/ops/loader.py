"""The only place that touches the binary: at most one library of compiled kernels a process, loaded at first use."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import paddle
from paddle import Tensor

from ..utils import runtime  # noqa: F401 - undoes what Paddle did to the environment
from ..utils.logger import get_logger
from . import build

PREFIX = "ppeffconv_"  # of the ops' names in Paddle's own registry
MODES = ("auto", "cpu", "cuda", "reference")
INSTRUCTIONS = ("generic", "avx2", "avx512")  # in the order of instructions.cc
MOST_MEGABYTES = 1 << 30  # whose bytes the kernels can count
HINT = "`python -m ppeffconv.ops build` compiles them, `python -m ppeffconv.ops` says more"


@dataclass
class Library:
    """What was loaded: its path, the ops in it and whether it has kernels for GPUs; or why there is none."""

    path: Path | None = None
    ops: frozenset[str] = field(default_factory=frozenset)
    reason: str = ""

    @property
    def cuda(self) -> bool:
        return self.path is not None and build.has_cuda(self.path)


_lock = threading.Lock()
_library: Library | None = None


def mode() -> str:
    """What ``PPEFFCONV_OPS`` asks for: "auto" (its default), "cpu", "cuda" or "reference"; ValueError for others."""
    value = os.environ.get("PPEFFCONV_OPS") or "auto"
    if value not in MODES:
        raise ValueError(f"PPEFFCONV_OPS must be one of {', '.join(MODES)}, got {value!r}")
    return value


def library() -> Library:
    """Return the loaded library; the first call looks for one that has been built, and never compiles."""
    global _library
    if _library is None:
        with _lock:
            if _library is None:
                _library = _load()
                if not _library.ops:
                    get_logger().info(f"plain Paddle runs every op: {_library.reason}")
    return _library


def instructions() -> str:
    """Vectors that our own kernels use, one of ``INSTRUCTIONS``; empty without a library.

    The widest of this CPU, or what ``PPEFFCONV_CPU`` names; oneDNN chooses by ``ONEDNN_MAX_CPU_ISA``.
    """
    path = library().path
    return INSTRUCTIONS[ctypes.CDLL(str(path)).ppeffconv_instructions()] if path else ""


def _load() -> Library:
    try:
        if (wanted := os.environ.get("PPEFFCONV_CPU")) and wanted not in INSTRUCTIONS:
            raise ValueError(f"PPEFFCONV_CPU must be one of {', '.join(INSTRUCTIONS)}, got {wanted!r}")
        megabytes = os.environ.get("PPEFFCONV_MEMORY")
        if megabytes and not (megabytes.isdecimal() and int(megabytes) <= MOST_MEGABYTES):
            raise ValueError(f"PPEFFCONV_MEMORY must be megabytes, from 0 to {MOST_MEGABYTES}, got {megabytes!r}")
        path = build.find()
        if path is None:
            return Library(reason=f"the kernels have not been compiled for this Paddle; {HINT}")
        return Library(path, _register(path))
    except (OSError, RuntimeError, ValueError) as error:
        return Library(reason=str(error).strip().splitlines()[-1])


def _register(path: Path) -> frozenset[str]:
    """Register the ops of a library with Paddle; their names in our API."""
    from paddle.utils.cpp_extension import load_op_meta_info_and_register_op

    names = load_op_meta_info_and_register_op(str(path))
    # a DataLoader's forked worker shares the cores with the others, and a team of threads does not survive a fork
    os.register_at_fork(after_in_child=lambda: paddle.base.core.set_num_threads(1))
    return frozenset(name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))


def call(op: str, *arguments: Tensor | int | float | bool | list[int] | None) -> list[Tensor]:
    """Run a compiled op: its inputs (None for an optional one that is absent), then its attributes, in order.

    Paddle would read past the end of too few arguments.
    """
    if len(arguments) != _arity(op):
        raise TypeError(f"{op} takes {_arity(op)} arguments, got {len(arguments)}")
    return paddle._C_ops._run_custom_op(PREFIX + op, *arguments)


@functools.cache
def _arity(op: str) -> int:
    from paddle.utils.cpp_extension.extension_utils import parse_op_info

    inputs, attributes, _ = parse_op_info(PREFIX + op)
    return len(inputs) + len(attributes)
