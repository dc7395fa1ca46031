"""Warns when other processes take the cores away from a training of several threads."""

from __future__ import annotations

import resource
import time
from typing import Any

from ...utils.logger import get_logger
from ...utils.runtime import threads
from .base import RunCallback

SECONDS = 5.0  # of training between two looks
OFTEN = 100  # involuntary context switches a second: there are a few on cores of one's own, 500 on two that others use


class Crowding(RunCallback):
    """Says once, in the log, that the threads of this training do not have their cores to themselves.

    Threads wait for one another hundreds of times in a step. Where one of them has to wait for a core, all do, and two
    threads beside two busy processes take several times as long as one thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._warned = False
        self._start = time.monotonic(), _switches()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._start = time.monotonic(), _switches()

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.monotonic() - self._start[0]
        if self._warned or threads() == 1 or seconds < SECONDS:
            return
        often = (_switches() - self._start[1]) / seconds
        self._start = time.monotonic(), _switches()
        if often > OFTEN:
            self._warned = True
            get_logger().warning(
                f"other processes need the cores too: {often:.0f} times a second they take one from the {threads()} "
                "threads of this training, which wait for one another. One thread may be several times as fast: stop, "
                "and go on with PPEFFCONV_TUNE=0 OMP_NUM_THREADS=1 and --resume"
            )


def _switches() -> int:
    """How often the system has taken a core from this process, all threads together."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
