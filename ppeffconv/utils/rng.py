"""Every random generator that a run draws from: seeded, saved and restored together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle


def seed_everything(seed: int) -> None:
    """Seed Paddle, NumPy and Python."""
    paddle.seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def rng_state() -> dict[str, Any]:
    """Return the state of the generators (Paddle's of the current device), fit to be pickled."""
    return {"paddle": paddle.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what ``rng_state`` returned; Paddle's part only if this machine has as many devices of that kind."""
    if len(state["paddle"]) == len(paddle.get_rng_state()):
        paddle.set_rng_state(state["paddle"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


@contextmanager
def fixed_seed(seed: int) -> Iterator[None]:
    """Run a block from a seed of its own and leave the generators as they were before it.

    Networks that draw noise in eval mode then give the same score wherever they are evaluated, and evaluating does not
    change the training that follows.
    """
    before = rng_state()
    seed_everything(seed)
    try:
        yield
    finally:
        set_rng_state(before)
