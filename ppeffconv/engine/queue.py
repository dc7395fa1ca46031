"""Runs from a list, one after another or a few side by side: what is done is left alone, what was stopped goes on."""

from __future__ import annotations

import datetime
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..config_yaml import read_yaml
from ..utils.files import replacing
from ..utils.logger import get_logger
from .callbacks import TrainingInterrupted, interrupts


@dataclass(frozen=True)
class QueuedRun:
    """A command of the list, and what is known of its attempts (``folder/name.json``; its output in ``name.log``).

    Attributes:
        command: such as "python tools/train.py -c a.yaml --resume"; it must itself go on from its last checkpoint.
    """

    name: str
    command: str
    folder: Path

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Those of this very command: when each began, how many seconds it took, and its exit code."""
        try:
            known = json.loads((self.folder / f"{self.name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return known["attempts"] if known["command"] == self.command else []

    @property
    def done(self) -> bool:
        """Whether an attempt came to its end."""
        return any(attempt["code"] == 0 for attempt in self.attempts)

    @property
    def seconds(self) -> float:
        """Of all attempts."""
        return sum(attempt["seconds"] for attempt in self.attempts)

    @property
    def state(self) -> str:
        """In words."""
        if not self.attempts:
            return "waits"
        code, took = self.attempts[-1]["code"], f"{self.seconds:.0f} s"
        return f"done in {took}" if self.done else f"stopped after {took}" if code < 0 or code > 127 else "failed"

    def attempt(self, signals: _Signals, cores: set[int]) -> int:
        """Run the command on these cores and return its exit code, which is kept."""
        arguments = shlex.split(self.command)
        if arguments[0] == "python":
            arguments[0] = sys.executable
        begin, clock = datetime.datetime.now().isoformat(timespec="seconds"), time.monotonic()
        with (self.folder / f"{self.name}.log").open("ab") as log:
            # in a session of its own, or it would get a terminal's Ctrl-C twice, which means: end at once
            process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            if cores and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, cores)
            signals.add(process)
            code = process.wait()
        self._keep({"began": begin, "seconds": round(time.monotonic() - clock, 1), "code": code})
        return code

    def _keep(self, attempt: dict[str, Any]) -> None:
        content = {"command": self.command, "attempts": [*self.attempts, attempt]}
        with replacing(self.folder / f"{self.name}.json") as path:
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def last_line(self) -> str:
        """Of its output."""
        lines = (self.folder / f"{self.name}.log").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it wrote nothing")


def read_queue(path: str | Path) -> list[QueuedRun]:
    """Read a list: ``output: folder`` and ``runs: {name: command}``, in the order in which they shall run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a list, or a name stands in it twice.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping) or set(content) != {"output", "runs"} or not isinstance(content["runs"], dict):
        raise ValueError(f"{path}: expected 'output: folder' and 'runs: {{name: command}}', and nothing else")
    for name, command in content["runs"].items():
        if not isinstance(command, str) or not command.strip() or "/" in str(name):
            raise ValueError(f"{path}: runs.{name} must be a command, under a name without '/', got {command!r}")
    return [
        QueuedRun(str(name), " ".join(line.split()), Path(content["output"])) for name, line in content["runs"].items()
    ]


def run_queue(runs: Sequence[QueuedRun], only: Sequence[str] = ("*",), jobs: int = 1) -> list[QueuedRun]:
    """Run those whose names fit one of the patterns ``only`` and which are not done; a failure does not end the queue.

    Args:
        jobs: runs side by side. Each gets its share of the cores: small networks train faster so, all runs together,
            because no core waits for another.

    Returns:
        The runs that failed.

    Raises:
        TrainingInterrupted: SIGINT, SIGTERM or SIGHUP came; the runs under way got it too, and have ended.
        RuntimeError: another process is at this queue.
        ValueError: no run has such a name, or there are not as many cores as jobs.
    """
    chosen = [run for run in runs if any(fnmatch(run.name, pattern) for pattern in only)]
    if not chosen:
        raise ValueError(f"no run is called {' or '.join(only)}; there are {', '.join(run.name for run in runs)}")
    slots = _slots(jobs)
    for folder in {run.folder for run in chosen}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(chosen[0].folder / "queue.lock", timeout=0), _Signals() as signals:

            def work(number: int, run: QueuedRun) -> bool:
                cores = slots.get()
                try:
                    return signals.came or _work(f"[{number}/{len(chosen)}]", run, signals, cores)
                finally:
                    slots.put(cores)

            with ThreadPoolExecutor(jobs) as pool:
                fine = list(pool.map(work, range(1, len(chosen) + 1), chosen))
            signals.check()
    except Timeout:
        raise RuntimeError(f"another process is at the queue of {chosen[0].folder}: let it end first") from None
    return [run for run, well in zip(chosen, fine) if not well]


def _work(place: str, run: QueuedRun, signals: _Signals, cores: set[int]) -> bool:
    """Whether the run is done now."""
    get_logger().info(f"{place} {run.name}: {run.state}")
    try:
        if run.done or run.attempt(signals, cores) == 0:
            return True
    except (OSError, ValueError) as error:  # no such program, or a quote without its end
        get_logger().warning(f"{run.name} cannot be started: {error}; its command is {run.command}")
        return False
    if not signals.came:
        get_logger().warning(f"{run.name} failed: {run.last_line()} (all of it in {run.folder}/{run.name}.log)")
    return False


def _slots(jobs: int) -> queue.Queue[set[int]]:
    """The cores of each job; empty sets, which mean all, for a single one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if not 1 <= jobs <= len(cores):
        raise ValueError(f"jobs must be 1 to {len(cores)}, the cores of this machine, got {jobs}")
    slots: queue.Queue[set[int]] = queue.Queue()
    for job in range(jobs):
        slots.put(set(cores[job * len(cores) // jobs : (job + 1) * len(cores) // jobs]) if jobs > 1 else set())
    return slots


class _Signals:
    """Hands `interrupts` on to the processes under way; ``check`` then raises TrainingInterrupted."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen] = []
        self._got: int | None = None

    def __enter__(self) -> _Signals:
        self._before = {signum: signal.signal(signum, self._handle) for signum in interrupts()}
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: Any) -> None:
        self._got = signum
        for process in self._processes:
            process.send_signal(signum)  # which does nothing to one that has ended

    @property
    def came(self) -> bool:
        """Whether one came: nothing new is begun then."""
        return self._got is not None

    def add(self, process: subprocess.Popen) -> None:
        """Hand signals on to this process too, and one that came while it was started."""
        self._processes.append(process)
        if self._got is not None:
            process.send_signal(self._got)

    def check(self) -> None:
        if self._got is not None:
            raise TrainingInterrupted(self._got)
