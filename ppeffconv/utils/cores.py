"""How many threads a process should compute with: what the user asked for, else what the system lets it have.

This module is imported before Paddle, which writes ``OMP_NUM_THREADS=1`` into the environment of every process that did
not have the variable: afterwards nobody could tell it from a user's wish (see `give_back_the_users_setting`).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

VARIABLE = "OMP_NUM_THREADS"


def threads() -> int:
    """Return the number of threads to compute with, at least 1.

    That is ``OMP_NUM_THREADS`` where the user has set it. Else it is one for each physical core that this process may
    use, and no more than its control group's quota of CPU time, rounded up: threads that get on at unlike speeds share
    their work, so the last one brings the rest of the quota. Processes of one launch share the cores.
    """
    if wanted := asked():
        return wanted
    limit = quota()
    count = physical_cores() if limit is None else min(physical_cores(), math.ceil(limit))
    return max(1, count // max(1, _number(os.environ.get("PADDLE_TRAINERS_NUM"))))


def asked() -> int:
    """Return the user's ``OMP_NUM_THREADS``, 0 if there is none."""
    return _number(os.environ.get(VARIABLE))


def give_back_the_users_setting() -> None:
    """Undo what Paddle did to the variable, for this process and for those that are started from it."""
    if _number(WANTED):
        os.environ[VARIABLE] = WANTED
    else:
        os.environ.pop(VARIABLE, None)


def physical_cores() -> int:
    """Cores that this process may use; hyper-threads of one core count once."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    try:
        return len({_siblings(cpu) for cpu in allowed})
    except OSError:
        return len(allowed)


def quota(root: Path = Path("/")) -> float | None:
    """Return the CPU time per second that this process's control groups allow, in cores; None without a limit.

    Args:
        root: the folder with ``proc`` and ``sys``.
    """
    limits = [limit for folder in _groups(root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the process's group and of those around it, of both versions.

    In a container the paths may be those that the host sees, and only the outermost folder exists.
    """
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            mounts = [base, base / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [base / controllers, base / "cpu"]
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for mount in mounts:
            yield from (mount / part for part in (inside, *inside.parents))


def _limit(folder: Path) -> float | None:
    """The limit of one group: version 2 says ``max 100000`` or ``150000 100000``, version 1 has -1 for none."""
    words = _text(folder / "cpu.max").split()
    if not words:
        words = _text(folder / "cpu.cfs_quota_us").split() + _text(folder / "cpu.cfs_period_us").split()
    share, period = (_number(words[0]), _number(words[1])) if len(words) == 2 else (0, 0)
    return share / period if share and period else None


def _siblings(cpu: int) -> str:
    return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii").strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _number(text: str | None) -> int:
    """The first of perhaps several numbers; 0 for what is none, or less than 1."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _environment_at_start(process: int | str) -> dict[str, str] | None:
    """What a process was started with, whatever it has set since; None if the system does not say."""
    try:
        entries = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return dict(entry.decode(errors="replace").partition("=")[::2] for entry in entries if entry)


def _wanted() -> str | None:
    """The variable as the user has set it, before Paddle did."""
    present = os.environ.get(VARIABLE)
    if os.environ.get("PADDLE_TRAINERS_NUM"):  # Paddle's launcher hands on what Paddle wrote there
        start = _environment_at_start(os.getppid())
    elif "paddle" in sys.modules and present == "1":
        start = _environment_at_start("self")
    else:
        return present
    return present if start is None else start.get(VARIABLE)


WANTED = _wanted()
