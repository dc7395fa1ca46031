"""Which implementation of an op runs: plain Paddle, or a compiled kernel where one is loaded."""

from __future__ import annotations

BACKENDS = ("auto", "cpu", "cuda", "reference")


def choose_backend(op: str, backend: str) -> str:
    """Return the backend that will run ``op``.

    Args:
        op: name of the op, for the message.
        backend: "auto" takes the best that is available, "reference" the plain-Paddle form; "cpu" and "cuda" ask for
            a compiled kernel.

    Raises:
        ValueError: unknown backend.
        RuntimeError: a compiled backend was asked for and there is none; nothing falls back silently.
    """
    if backend not in BACKENDS:
        raise ValueError(f"{op}: backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend in ("auto", "reference"):
        return "reference"
    raise RuntimeError(
        f"{op}: backend '{backend}' was asked for, but this installation has no compiled kernels; "
        "use backend='auto' or 'reference' (plain Paddle)"
    )


def status() -> dict[str, str]:
    """Which backend runs each op under ``backend="auto"``, with the reason."""
    reason = "reference (plain Paddle; this installation has no compiled kernels)"
    return {"ddf": reason, "sample_interpolate": reason}
