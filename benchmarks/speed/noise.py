"""What others use of the machine while the contestants race, by chance or on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

BUSY = 0.1  # cores
TICK = os.sysconf("SC_CLK_TCK")


class BusyCore:
    """A process that does nothing, and stops at nothing, on whichever core it gets; for a ``with`` block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self._send(signal.SIGSTOP)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @contextmanager
    def working(self) -> Iterator[None]:
        """It works within, and rests otherwise."""
        self._send(signal.SIGCONT)
        try:
            yield
        finally:
            self._send(signal.SIGSTOP)

    def _send(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    def __enter__(self) -> BusyCore:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class OtherWork:
    """Cores used by others than the processes ``pids`` since it was made."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._start = time.monotonic(), self._others()

    def cores(self) -> float:
        """Average number of cores."""
        since, before = self._start
        return max(0.0, (self._others() - before) / (time.monotonic() - since))

    def _others(self) -> float:
        """Seconds of all cores since the machine's start, without those of the processes."""
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, *interrupts_and_steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + sum(interrupts_and_steal)) / TICK - sum(map(_seconds, self._pids))


def _seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]  # behind the name, which may hold anything
    return (int(user) + int(system)) / TICK
