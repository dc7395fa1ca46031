"""Which implementation of an op runs: plain Paddle, or a compiled kernel where one is loaded."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.jit import not_to_static

from . import loader

BACKENDS = loader.MODES
# ops that have kernels, and the types these take; anything else runs in plain Paddle
KERNELS = {
    "batch_norm": (paddle.float32, paddle.float64),
    "conv2d": (paddle.float32,),
    "ddf": (paddle.float32, paddle.float64),
    "sample_interpolate": (paddle.float32, paddle.float64),
    "sampled_conv2d": (paddle.float32, paddle.float64),
}


@not_to_static  # it reads the state of this process: nothing to trace
def choose_backend(op: str, backend: str, *tensors: Tensor) -> str:
    """Return the backend that will run ``op``: "cpu" or "reference".

    Args:
        op: its name.
        backend: "auto" takes the kernel if it is loaded and fits the tensors; ``PPEFFCONV_OPS`` may narrow it.
            "reference" is the plain-Paddle form; "cpu" and "cuda" ask for a compiled kernel.
        tensors: the inputs. Kernels take tensors on the CPU, of their types, outside of traced programs, which so can
            be used without the kernels.

    Raises:
        ValueError: unknown backend.
        RuntimeError: a compiled backend was asked for that is missing or does not fit; nothing falls back silently.
    """
    if backend not in BACKENDS:
        raise ValueError(f"{op}: backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    wanted = loader.mode() if backend == "auto" else backend
    if wanted == "reference":
        return "reference"
    if wanted == "cuda" or (wanted == "cpu" and op not in loader.library().ops):
        raise RuntimeError(_missing(op, wanted))
    if op not in loader.library().ops:
        return "reference"
    misfit = _misfit(op, tensors)
    if misfit and backend == "cpu":
        raise RuntimeError(f"{op}: backend 'cpu' was asked for, but {misfit}; use backend='auto'")
    return "reference" if misfit else "cpu"


def _misfit(op: str, tensors: tuple[Tensor, ...]) -> str:
    """Why the kernel cannot take the tensors, or an empty string."""
    if not paddle.in_dynamic_mode():
        return "a program is being traced, which keeps to Paddle's own ops"
    for tensor in tensors:
        if tensor.dtype not in KERNELS[op]:
            return f"its kernel does not take {tensor.dtype}"
        if not tensor.place.is_cpu_place():
            return f"a tensor is on {tensor.place}"
    return ""


def _missing(op: str, backend: str) -> str:
    reason = "there are no compiled kernels for GPUs" if backend == "cuda" else loader.library().reason
    return (
        f"{op}: backend '{backend}' was asked for, but this installation has no compiled kernels of that kind "
        f"({reason or 'the loaded library lacks this op'}); use backend='auto' or 'reference' (plain Paddle)"
    )


def status() -> dict[str, str]:
    """Which backend runs each op under ``backend="auto"`` on CPU, with the reason."""
    if loader.mode() == "reference":
        return dict.fromkeys(KERNELS, "reference (plain Paddle; PPEFFCONV_OPS=reference)")
    loaded = loader.library()
    kernel, plain = f"cpu ({loaded.path})", f"reference (plain Paddle; {loaded.reason or 'no kernel of it is loaded'})"
    return {op: kernel if op in loaded.ops else plain for op in KERNELS}
