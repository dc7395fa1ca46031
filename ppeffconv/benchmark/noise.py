"""What others used of the machine while the contestants raced: busy cores cost one engine more than another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

BUSY = 0.1  # cores
TICK = os.sysconf("SC_CLK_TCK")


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
