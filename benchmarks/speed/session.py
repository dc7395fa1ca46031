"""Running rows and keeping what came out, row by row, so that an interrupted session can be resumed."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ppeffconv.ops import build
from ppeffconv.utils.files import replacing
from ppeffconv.utils.logger import get_logger
from ppeffconv.utils.machine import describe

from .engines import PEERS, Worker
from .environment import peer_python
from .model_store import with_folder
from .noise import BUSY
from .race import PAUSE, race
from .rows import OURS, Row

Session = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How a session measures.

    Attributes:
        engines: which ones take part.
        peer_python: interpreter with the peers; None for the benchmark's own environment.
        resume: keep the rows that are in the file already, if the machine was quiet.
        pause: seconds between two turns.
    """

    output: Path
    rounds: int = 15
    threads: int = 2
    engines: tuple[str, ...] = ()
    peer_python: Path | None = None
    resume: bool = False
    pause: float = PAUSE
    command: str = field(default="", compare=False)


def run(kind: str, rows: Iterable[Row], settings: Settings) -> Session:
    """Measure the rows of a kind (see `report.KINDS`) and return the session, which is also the contents of the file.

    Raises:
        ValueError: an argument does not fit; the file to resume is of another machine, other kernels, ...
        RuntimeError: an engine failed, or two engines do not do the same work.
    """
    if settings.rounds < 1 or settings.threads < 1:
        raise ValueError(f"need at least one round and one thread, got {settings.rounds} and {settings.threads}")
    session = _open(kind, settings)
    missing = [row for row in rows if row.name not in session["rows"]]
    engines = {contestant.engine for row in missing for contestant in row.contestants.values()}
    peer = peer_python(settings.peer_python) if engines.intersection(PEERS, settings.engines) else None
    for row in missing:
        get_logger().info(row.work)
        session["rows"][row.name] = _measure(row, settings, peer)
        save(session, settings.output)
    save(session, settings.output)  # with the command of this call, which may have had nothing to measure
    return session


def _open(kind: str, settings: Settings) -> Session:
    """A new session, or the one to resume."""
    facts = {"kind": kind, "machine": describe(), "threads": settings.threads, "rounds": settings.rounds}
    facts["kernels"] = build.key()
    if settings.resume and settings.output.is_file():
        session = load(settings.output)
        for name, value in facts.items():
            if session.get(name) != value:
                raise ValueError(
                    f"--resume: {settings.output} was measured with {name} {session.get(name)}, not {value}"
                )
        rows = {name: row for name, row in session["rows"].items() if row["other_cores"] <= BUSY}
        return {**session, "command": settings.command, "rows": rows}
    limits, today = _limits(settings.threads), datetime.date.today().isoformat()
    return {**facts, "date": today, "command": settings.command, "limits": limits, "rows": {}}


def _limits(threads: int) -> dict[str, float]:
    with Worker(OURS, threads) as worker:
        return worker.ask("prepare", job="limits", threads=threads)


def _measure(row: Row, settings: Settings, peer: Path | None) -> dict[str, Any]:
    chosen = {label: each for label, each in row.contestants.items() if each.engine in settings.engines}
    placed = {label: with_folder(each, settings.threads) for label, each in chosen.items()}
    result = race(placed, settings.rounds, settings.threads, peer, settings.pause, row.turn, row.beside)
    entry = {"work": row.work, **result}
    check(row, entry["contestants"])
    if row.warm_up and OURS in chosen:
        entry["growth_mb"] = _growth(row.warm_up, chosen[OURS].job, settings.threads)
    return entry


def check(row: Row, contestants: dict[str, dict[str, Any]]) -> None:
    """RuntimeError if the contestants differ in what must agree, or a loss is not finite."""
    for fact in row.agree:
        values = {label: facts.get(fact) for label, facts in contestants.items()}
        if len(set(values.values())) > 1:
            raise RuntimeError(f"{row.name}: the engines do not run the same network: {fact} are {values}")
    for label, facts in contestants.items():
        if not all(map(math.isfinite, facts.get("losses", []))):
            raise RuntimeError(f"{row.name}: the loss of {label} is not finite: {facts['losses'][-3:]}")


def _growth(warm_up: Mapping[str, Any], job: Mapping[str, Any], threads: int) -> float:
    """By how many MB the memory grows during a step in a process that has loaded everything, but seen no large data."""
    with Worker(OURS, threads) as worker:
        worker.ask("prepare", **warm_up)
        worker.ask("run", steps=2)
        worker.ask("prepare", **job)
        return worker.ask("memory")["growth_mb"]


def save(session: Session, path: Path) -> None:
    """Write a session; an interruption leaves the previous one."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(session, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Session:
    """Read a session.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not one of the benchmark's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: measure first, python tools/benchmark.py {path.stem}")
    try:
        session = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    if not isinstance(session, dict) or "rows" not in session:
        raise ValueError(f"{path} is not a file of tools/benchmark.py: it has no 'rows'")
    return session
