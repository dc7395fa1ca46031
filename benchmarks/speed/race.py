"""Timing contestants side by side, each in a process of its own, so that noise of the machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from ppeffconv.utils.logger import get_logger

from .engines import Worker
from .noise import BUSY, BusyCore, OtherWork
from .rows import Contestant

# An OpenMP runtime keeps its threads spinning for up to 200 ms after the work; the next contestant waits them out.
PAUSE = 0.25
MOST = 50  # steps in a turn
PATIENCE = 60.0  # seconds for an answer of an engine that may fail


class Lane(NamedTuple):
    """A contestant's worker, and the steps that it does in a turn."""

    worker: Worker
    steps: int

    def turn(self) -> float:
        """Median time of a turn's steps in ms; the first of several, which finds cold caches, does not count."""
        times = self.worker.ask("run", steps=self.steps + 1 if self.steps > 1 else 1)["ms"]
        return statistics.median(times[1:] or times)


def race(
    contestants: Mapping[str, Contestant],
    rounds: int,
    threads: int,
    peer: Path | None,
    pause: float = PAUSE,
    turn: float = 1000.0,
    beside: bool = False,
) -> dict[str, Any]:
    """Let the contestants take turns of about ``turn`` ms each, starting each round with another one.

    With ``beside`` they do so again in each round beside a process that keeps a core busy.

    Returns:
        "contestants": by label "engine", "ms" (a median for each round), perhaps "busy_ms", and the facts of its job,
        "missing" among them if the engine cannot do it; "other_cores": how many others used meanwhile.

    Raises:
        RuntimeError: a worker failed that must not.
    """
    results, lanes = {}, {}
    with ExitStack() as stack:
        for label, contestant in contestants.items():
            patience = PATIENCE if contestant.may_fail else None
            worker = stack.enter_context(Worker(contestant.engine, threads, peer, patience))
            facts, steps = _ready(worker, contestant, turn)
            results[label] = {"engine": contestant.engine, **facts}
            if steps:
                lanes[label] = Lane(worker, steps)
                results[label] |= {"ms": [], "busy_ms": []} if beside else {"ms": []}
        busy = stack.enter_context(BusyCore()) if beside else None
        others = OtherWork([*(lane.worker.pid for lane in lanes.values()), *([busy.pid] if busy else [])])
        for start in range(rounds):
            order = _rotated(list(lanes), start)
            _take_turns(order, lanes, results, "ms", pause)
            if busy:
                with busy.working():
                    _take_turns(order, lanes, results, "busy_ms", pause)
        other_cores = round(others.cores(), 2)
        for label, lane in lanes.items():
            results[label] |= lane.worker.ask("facts")
    if other_cores > BUSY:
        get_logger().warning(f"others used {other_cores} cores meanwhile: these times are not to be trusted")
    return {"contestants": results, "other_cores": other_cores}


def _take_turns(
    order: list[str], lanes: Mapping[str, Lane], results: Mapping[str, dict[str, Any]], key: str, pause: float
) -> None:
    for label in order:
        time.sleep(pause)
        results[label][key].append(lanes[label].turn())


def _ready(worker: Worker, contestant: Contestant, turn: float) -> tuple[dict[str, Any], int]:
    """Facts of the job, and how many steps fit into a turn: none if the engine cannot do it."""
    try:
        facts = worker.ask("prepare", **contestant.job)
        return facts, 0 if "missing" in facts else _steps(worker, turn)
    except RuntimeError as error:
        if not contestant.may_fail:
            raise
        reason = str(error).strip().splitlines()[-1]
        get_logger().warning(f"{contestant.engine} takes no part: {reason}")
        return {"missing": reason}, 0


def _steps(worker: Worker, turn: float) -> int:
    """Warm up, and see what a step takes."""
    warm = worker.ask("run", steps=2)["ms"][-1]
    return max(1, min(MOST, round(turn / max(warm, 1e-3))))


def _rotated(labels: list[str], by: int) -> list[str]:
    return [labels[(i + by) % len(labels)] for i in range(len(labels))]
