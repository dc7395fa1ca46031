"""Curves of a toolkit's training, which a resumed run continues in their file, as VisualDL shows one of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import visualdl

from ..engine.callbacks.visualdl_log import rewind
from ..engine.callbacks.visualdl_writer import DirectLogWriter


def continued_curves(folder: Path, last_step: int) -> DirectLogWriter:
    """Return a writer to the newest file in ``folder``, cut behind ``last_step``; to a new one if there is none."""
    return DirectLogWriter(folder, rewind(folder, last_step))


@contextmanager
def continuing(last_step: int) -> Iterator[None]:
    """Have a loop that makes a ``visualdl.LogWriter`` of its own continue the curves in its folder meanwhile."""
    original = visualdl.LogWriter

    def log_writer(logdir: str, *args: Any, **kwargs: Any) -> DirectLogWriter:
        return continued_curves(Path(logdir), last_step)

    visualdl.LogWriter = log_writer
    try:
        yield
    finally:
        visualdl.LogWriter = original
