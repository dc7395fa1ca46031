"""The kinds of targets: a ratio of times, extra memory, equal bits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rows import OURS

Result = Mapping[str, Any]


@dataclass(frozen=True)
class AtMost:
    """Ours takes at most ``limit`` times as long as the contestant ``against``."""

    against: str
    limit: float

    @property
    def text(self) -> str:
        """Such as "at most 0.9 of torch"."""
        return f"at most {self.limit:g} of {self.against}"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """The ratio of the times."""
        ratio = time_ratio(result, self.against)
        return None if ratio is None else (f"{ratio:.2f}", ratio <= self.limit)


@dataclass(frozen=True)
class TimesFaster:
    """The contestant ``against`` takes at least ``factor`` times as long as ours."""

    against: str
    factor: float

    @property
    def text(self) -> str:
        """Such as "6x faster than stock"."""
        return f"{self.factor:g}x faster than {self.against}"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """How many times faster."""
        ratio = time_ratio(result, self.against)
        return None if ratio is None else (f"{1 / ratio:.1f}x", 1 / ratio >= self.factor)


@dataclass(frozen=True)
class ExtraMemory:
    """What a step of ours needs beyond its result is at most ``share`` of its input."""

    share: float

    @property
    def text(self) -> str:
        """Such as "extra memory at most 5 % of the input"."""
        return f"extra memory at most {100 * self.share:g} % of the input"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """The share."""
        if "growth_mb" not in result:
            return None
        ours = result["contestants"][OURS]
        share = max(0.0, result["growth_mb"] - ours["output_mb"]) / ours["input_mb"]
        return f"{100 * share:.1f} %", share <= self.share


@dataclass(frozen=True)
class Deterministic:
    """Two steps of ours give equal bits."""

    text: str = "deterministic"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """Whether they did."""
        same = result["contestants"].get(OURS, {}).get("deterministic")
        return None if same is None else ("yes" if same else "no", same)


def time_ratio(result: Result, against: str) -> float | None:
    """Median over the rounds of ours / ``against``; None if one of them was not measured."""
    ours, other = (samples(result, label) for label in (OURS, against))
    return statistics.median(a / b for a, b in zip(ours, other)) if ours and other else None


def samples(result: Result, label: str) -> Sequence[float]:
    """Times of a contestant in ms, one a round; empty if it was not measured."""
    return result["contestants"].get(label, {}).get("ms", [])
