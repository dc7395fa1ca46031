"""Whatever ends or stops a worker of pytest-xdist ends the run with a failure.

A worker that dies may leave children behind that hold its pipes open, so that xdist never hears of its end; and one
that waits for ever is never missed. So the controller looks at the processes themselves. The limits are of work, not of
the clock: a machine that is busy makes a test slow, but neither idle nor more laborious.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

TICK = 1.0  # seconds between two looks
GRACE = 60.0  # seconds that xdist gets to end the run
IDLE_SHARE = 0.02  # of one core; less is no work
PR_SET_CHILD_SUBREAPER = 36  # of Linux: orphans become children of this process, which can find them then
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("watchdog")
    group.addoption("--idle-limit", type=float, default=300, help="seconds for which a test may do nothing")
    group.addoption("--cpu-limit", type=float, default=1200, help="seconds of CPU that a test may take")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        faulthandler.register(signal.SIGUSR2, file=os.dup(2), all_threads=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.pluginmanager.hasplugin("dsession"):
        watchdog = Watchdog(session.config)
        session.config.pluginmanager.register(watchdog)
        watchdog.start()


class Watchdog:
    """Looks after the workers from the process that hands out the tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.session = config.pluginmanager.getplugin("dsession")
        self.idle_limit = config.getoption("--idle-limit")
        self.cpu_limit = config.getoption("--cpu-limit")
        self.since: dict[Any, tuple[float, float]] = {}  # worker -> (clock, CPU seconds) when it last did something
        self.begun: dict[Any, float] = {}  # worker -> CPU seconds at its last report
        self.ended = threading.Event()

    def start(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        threading.Thread(target=self.watch, daemon=True).start()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (node := getattr(report, "node", None)) is not None:
            self.begun.pop(node, None)
            self.since.pop(node, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        """Heard of by xdist itself: what is left need not run, the run has failed."""
        if error:
            self.session.shouldstop = f"worker {node.gateway.id} has ended in the middle of its tests"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self.ended.set()
        send(family(os.getpid())[1:], signal.SIGKILL)  # orphans, which may hold the pipe of whoever reads the results

    def watch(self) -> None:
        while not self.ended.wait(TICK):
            for node in list(self.session._active_nodes):
                if reason := self.trouble(node):
                    self.end(node, reason)
                    return

    def trouble(self, node: Any) -> str:
        """What is wrong with a worker, or nothing."""
        process = getattr(node.gateway._io, "popen", None)
        if process is None:
            return ""
        if process.poll() is not None:
            time.sleep(TICK)  # its last words may be on their way
            left = node in self.session._active_nodes and process.returncode != 0
            return f"has ended with code {process.returncode}" if left else ""
        now, used = time.monotonic(), cpu_seconds(family(process.pid))
        begun = self.begun.setdefault(node, used)
        clock, before = self.since.setdefault(node, (now, used))
        if used - begun > self.cpu_limit:
            return f"has computed for more than {self.cpu_limit:.0f} s of CPU in one test"
        if used < before or used - before > IDLE_SHARE * self.idle_limit:
            self.since[node] = (now, used)  # it works, or a child with its seconds has ended
        elif now - clock > self.idle_limit:
            return f"has done nothing for {self.idle_limit:.0f} s"
        return ""

    def end(self, node: Any, reason: str) -> None:
        """Have the run end: by xdist, which then tells what has failed so far, or at once if that does not come."""
        text = f"worker {node.gateway.id} {reason}"
        sys.__stderr__.write(f"\n{text}: the run ends here\n")
        send([node.gateway._io.popen.pid], signal.SIGCONT)
        send([node.gateway._io.popen.pid], signal.SIGUSR2)  # the stacks of its threads
        time.sleep(TICK)
        send(family(node.gateway._io.popen.pid), signal.SIGKILL)
        self.session.shouldstop = text
        self.session.queue.put(("errordown", {"node": node, "error": text}))
        if not self.ended.wait(GRACE):
            send(family(os.getpid())[1:], signal.SIGKILL)
            os._exit(1)


def family(pid: int) -> list[int]:
    """A process that lives, and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in statistics().values():
        children.setdefault(int(stat[1]), []).append(int(stat[-1]))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of processes, and of their children that have ended."""
    known = statistics()
    return sum(sum(map(int, known[pid][11:15])) for pid in pids if pid in known) / TICKS_PER_SECOND


def statistics() -> dict[int, list[str]]:
    """For each process, the fields of /proc/PID/stat behind its name, and its number."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = [*path.read_text().rpartition(")")[2].split(), path.parent.name]
        except OSError:
            continue  # it has just ended
    return found


def send(pids: list[int], signum: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except OSError:
            continue
