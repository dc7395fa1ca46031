"""A row of the benchmark: contestants, what must be reached, and what agreement shows that they do the same work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, NamedTuple, Protocol

from ppeffconv.registry import did_you_mean

OURS = "ours"  # the label of the contestant that a row is about


class Contestant(NamedTuple):
    """A job in an engine, such as ("torch", {"job": "train", ...}).

    Attributes:
        job: its name and arguments; in place of "models", a network (see `model_store`), it gets "folder".
        may_fail: such a contestant is left out where its engine cannot do the job.
    """

    engine: str
    job: Mapping[str, Any]
    may_fail: bool = False


class Target(Protocol):
    """What must be reached."""

    text: str
    """The target in words."""

    def judge(self, result: Mapping[str, Any]) -> tuple[str, bool] | None:
        """The figure in words and whether it is reached, from a row's entry in the JSON; None if not measured."""


@dataclass(frozen=True)
class Row:
    """One kind of work.

    Attributes:
        name: short and unique.
        work: in words.
        contestants: by label.
        targets: what must be reached.
        agree: facts that must be equal in all contestants.
        warm_up: a small job; with it, by how much the memory grows in a step of ours is measured too, after that one.
        turn: ms of measured steps that a contestant gets in a turn, at least one step.
        beside: measured beside a busy core too.
    """

    name: str
    work: str
    contestants: Mapping[str, Contestant]
    targets: tuple[Target, ...] = ()
    agree: tuple[str, ...] = ()
    warm_up: Mapping[str, Any] | None = None
    turn: float = 1000.0
    beside: bool = False


def choose(rows: Iterable[Row], patterns: Iterable[str]) -> list[Row]:
    """Rows whose name matches one of the shell wildcards, all without any; ValueError for one that matches none."""
    rows, patterns = list(rows), list(patterns)
    names = [row.name for row in rows]
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f"no row matches '{pattern}'.{did_you_mean(pattern, names)} Rows: {', '.join(names)}")
    return [row for row in rows if not patterns or any(fnmatch(row.name, pattern) for pattern in patterns)]
