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
    "blend": (paddle.float32, paddle.float64),
    "conv2d": (paddle.float32,),
    "ddf": (paddle.float32, paddle.float64),
    "deployed": (paddle.float32,),
    "filter_norm": (paddle.float32, paddle.float64),
    "nested_conv2d": (paddle.float32,),
    "octave_pool": (paddle.float32, paddle.float64),
    "octave_upsample": (paddle.float32, paddle.float64),
    "octave_upsample_add": (paddle.float32, paddle.float64),
    "sample_interpolate": (paddle.float32, paddle.float64),
    "sampled_conv2d": (paddle.float32, paddle.float64),
}
# those that also have kernels for GPUs
CUDA_KERNELS = dict.fromkeys(
    (
        "ddf",
        "filter_norm",
        "octave_pool",
        "octave_upsample",
        "octave_upsample_add",
        "sample_interpolate",
        "sampled_conv2d",
    ),
    (paddle.float32, paddle.float16, paddle.bfloat16),
)


@not_to_static  # it reads the state of this process: nothing to trace
def choose_backend(op: str, backend: str, *tensors: Tensor) -> str:
    """Return the backend that will run ``op``: "cpu", "cuda" or "reference".

    Args:
        op: its name.
        backend: "auto" takes the kernel if it is loaded and fits the tensors; ``PPEFFCONV_OPS`` may narrow it.
            "reference" is the plain-Paddle form; "cpu" and "cuda" ask for a compiled kernel.
        tensors: the inputs. Kernels take tensors on their device, of their types, outside of traced programs, which so
            can be used without the kernels.

    Raises:
        ValueError: unknown backend.
        RuntimeError: a compiled backend was asked for that is missing or does not fit; nothing falls back silently.
    """
    if backend not in BACKENDS:
        raise ValueError(f"{op}: backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    wanted = loader.mode() if backend == "auto" else backend
    if wanted == "reference":
        return "reference"
    device = _device(tensors) if wanted == "auto" else wanted
    types = _types(op, device)
    if types is None:
        # what has no kernel for GPUs is as fast in Paddle itself there, so a process that asks for them may use it
        if wanted == "auto" or (wanted == "cuda" and loader.library().cuda and backend == "auto"):
            return "reference"
        raise RuntimeError(_missing(op, wanted))
    misfit = _misfit(device, types, tensors)
    if misfit and backend != "auto":
        raise RuntimeError(f"{op}: backend '{backend}' was asked for, but {misfit}; use backend='auto'")
    return "reference" if misfit else device


def _device(tensors: tuple[Tensor, ...]) -> str:
    return "cuda" if paddle.in_dynamic_mode() and any(t.place.is_gpu_place() for t in tensors) else "cpu"


def _types(op: str, device: str) -> tuple[paddle.dtype, ...] | None:
    """The types that the loaded kernel of ``op`` takes on a device; None without a kernel."""
    library = loader.library()
    kernels = KERNELS if device == "cpu" else CUDA_KERNELS if library.cuda else {}
    return kernels.get(op) if op in library.ops else None


def _misfit(device: str, types: tuple[paddle.dtype, ...], tensors: tuple[Tensor, ...]) -> str:
    """Why the kernel cannot take the tensors, or an empty string."""
    if not paddle.in_dynamic_mode():
        return "a program is being traced, which keeps to Paddle's own ops"
    for tensor in tensors:
        if tensor.dtype not in types:
            return f"its kernel does not take {tensor.dtype}"
        if not (tensor.place.is_cpu_place() if device == "cpu" else tensor.place.is_gpu_place()):
            return f"a tensor is on {tensor.place}"
    return ""


def _missing(op: str, backend: str) -> str:
    library = loader.library()
    lacks_cuda = backend == "cuda" and not library.cuda
    reason = "there are no compiled kernels for GPUs" if lacks_cuda else library.reason
    return (
        f"{op}: backend '{backend}' was asked for, but this installation has no compiled kernels of that kind "
        f"({reason or 'the loaded library lacks this op'}); use backend='auto' or 'reference' (plain Paddle)"
    )


def status() -> dict[str, str]:
    """Which backends run each op under ``backend="auto"``, with the reason."""
    if loader.mode() == "reference":
        return dict.fromkeys(KERNELS, "reference (plain Paddle; PPEFFCONV_OPS=reference)")
    loaded = loader.library()
    plain = f"reference (plain Paddle; {loaded.reason or 'no kernel of it is loaded'})"

    def describe(op: str) -> str:
        devices = [device for device in ("cpu", "cuda") if _types(op, device)]
        return f"{', '.join(devices)} ({loaded.path})" if devices else plain

    return {op: describe(op) for op in KERNELS}
