"""How far a transfer is: a bar on a terminal, a line of the log every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from .logger import get_logger

EVERY = 5.0  # seconds between two lines
MEGABYTE = 1 << 20


@contextmanager
def progress(name: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes the number of bytes that have come in addition.

    Args:
        total: bytes altogether, None if unknown.
        done: bytes that are there already.
    """
    if sys.stderr.isatty():
        with tqdm(total=total, initial=done, desc=name, unit="B", unit_scale=True, unit_divisor=1024) as bar:
            yield bar.update
    else:
        yield _Lines(name, total, done).advance


class _Lines:
    """Nothing for what is over within the first seconds."""

    def __init__(self, name: str, total: int | None, done: int) -> None:
        self.name, self.total, self.done, self.said = name, total, done, time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.said < EVERY:
            return
        self.said = time.monotonic()
        of = f" of {self.total / MEGABYTE:.1f} MB ({self.done / self.total:.0%})" if self.total else " MB"
        get_logger().info(f"{self.name}: {self.done / MEGABYTE:.1f}{of}")
