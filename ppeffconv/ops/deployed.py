"""`deployed`: a whole network in its deploy form as one op; see `ppeffconv.deploy`."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

from paddle import Tensor
from paddle._C_ops import _run_custom_op

from ..utils.numbers import is_size
from . import loader

MOST_OUTPUTS = 8
MOST_STEPS = 1 << 16


def deployed(x: Tensor, weights: list[Tensor], program: str, uid: str) -> list[Tensor]:
    """Run a program by the compiled engine, in eager mode and in traced programs alike.

    Args:
        x: [N, C, H, W], float32, on the CPU.
        weights: the program's frozen weights, float32.
        program: its text, see `ppeffconv.deployed.Program`.
        uid: a hash of the text and the weights: what is packed once for it serves every later call.

    Returns:
        the program's outputs, and behind them, if it has masks, their densities [masks].

    Raises:
        RuntimeError: there is no compiled engine.
        OSError: the program is one that the engine cannot run, with the step.
    """
    if "deployed" not in loader.library().ops:
        reason = loader.library().reason
        raise RuntimeError(f"deployed: there is no compiled engine ({reason}); use backend='reference'")
    *maps, densities = _run_custom_op(loader.PREFIX + "deployed", x, weights, program, uid)
    count = len(_words(program.splitlines()[-1]))
    return [*maps[:count], densities] if _has_masks(program) else maps[:count]


def _words(output: str) -> list[str]:
    return output.split(" ")[1].split(",")


def _has_masks(program: str) -> bool:
    return "\nmask " in program


_holders: Counter[str] = Counter()
_counting = threading.RLock()  # a holder may be collected while another one is counted


def hold(owner: object, uid: str) -> Callable[[], Any]:
    """Keep what is packed for ``uid`` until ``owner`` is collected, and with it all others that hold it.

    Returns:
        a function that lets go earlier.
    """
    with _counting:
        _holders[uid] += 1
        if _holders[uid] == 1 and (engine := _engine()):
            engine.ppeffconv_hold(uid.encode())
    let_go = weakref.finalize(owner, _let_go, uid)
    let_go.atexit = False
    return let_go


def _let_go(uid: str) -> None:
    with _counting:
        _holders[uid] -= 1
        if not _holders[uid]:
            del _holders[uid]
            release(uid)


def release(uid: str) -> None:
    """Give back what is packed for ``uid``; a later call packs it again."""
    if engine := _engine():
        engine.ppeffconv_release(uid.encode())


def _engine() -> ctypes.CDLL | None:
    path = loader.library().path
    return ctypes.CDLL(str(path)) if path else None


class Memory(NamedTuple):
    """Bytes that the compiled engine has taken.

    Attributes:
        packed: weights of all programs, in the engine's layout.
        working: feature maps, scratch and plans, in use or idle.
        kept: of both, what is idle and held by nobody: it serves later calls, and goes first.
        limit: of ``kept``.
    """

    packed: int
    working: int
    kept: int
    limit: int


def memory() -> Memory:
    """What the compiled engine has taken; zeros without one."""
    sizes = (ctypes.c_int64 * len(Memory._fields))()
    if engine := _engine():
        engine.ppeffconv_memory(sizes)
    return Memory(*sizes)


def limit_memory(size: int) -> None:
    """Limit what the compiled engine keeps between calls: idle working memory and programs that no layer holds.

    Beyond it the least recently used goes. A call that needs more takes more, and gives it back when it ends. Weights
    of programs that a layer or a `Predictor` holds stay.

    Args:
        size: bytes; by default $PPEFFCONV_MEMORY megabytes, else 2048.

    Raises:
        ValueError: it is no integer >= 0.
    """
    if not is_size(size, 0):
        raise ValueError(f"limit_memory: the size must be an integer >= 0, in bytes, got {size!r}")
    if engine := _engine():
        engine.ppeffconv_limit_memory(ctypes.c_int64(size))


@contextmanager
def _measuring(engine: ctypes.CDLL):
    engine.ppeffconv_profile(1)
    try:
        yield
    finally:
        engine.ppeffconv_profile(0)


def step_times(run: Callable[[], Any]) -> list[float]:
    """Milliseconds of each step of the deployed network that ``run`` runs once on this thread.

    Behind those of the program's steps come the conversion of its input and that of its outputs.
    """
    engine = ctypes.CDLL(str(loader.library().path))
    with _measuring(engine):
        run()
        times = (ctypes.c_double * MOST_STEPS)()
        return list(times[: engine.ppeffconv_profile_read(times, MOST_STEPS)])
