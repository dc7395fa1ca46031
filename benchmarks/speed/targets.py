"""The kinds of targets: a ratio of times, a break-even density, extra memory, equal bits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .peers.models import TOLERANCES
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
    """The contestant ``against`` takes at least ``factor`` times as long as ``of``."""

    against: str
    factor: float
    of: str = OURS

    @property
    def text(self) -> str:
        """Such as "6x faster than stock"."""
        times = "" if self.factor == 1 else f"{self.factor:g}x "
        return f"{times}faster than {self.against}" + ("" if self.of == OURS else f": {self.of}")

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """How many times faster."""
        ratio = time_ratio(result, self.against, self.of)
        return None if ratio is None else (times(1 / ratio), 1 / ratio >= self.factor)


@dataclass(frozen=True)
class BreakEven:
    """Up to a density of at least ``least`` sampling is not slower than ``dense``."""

    dense: str
    least: float

    @property
    def text(self) -> str:
        """Such as "as fast as the dense form up to a density of 0.7"."""
        return f"as fast as {self.dense} up to a density of {self.least:g}"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """The density at which the times meet."""
        density = break_even(result, self.dense)
        return None if density is None else (f"{density:.2f}", density >= self.least)


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


def break_even(result: Result, dense: str) -> float | None:
    """The density, between those that were measured, from which on sampling takes longer than ``dense``.

    1 if it never does, the lowest measured one if it always does; None if nothing was measured.
    """
    points = sorted((facts["density"], time_ratio(result, dense, label)) for label, facts in sampled(result))
    if not points or None in [ratio for _, ratio in points]:
        return None
    for (low, faster), (high, slower) in pairwise(points):
        if faster <= 1 < slower:
            return low + (high - low) * (1 - faster) / (slower - faster)
    return 1.0 if points[-1][1] <= 1 else points[0][0]


def sampled(result: Result) -> list[tuple[str, Result]]:
    """The contestants that sampled at a known density."""
    return [(label, facts) for label, facts in result["contestants"].items() if "density" in facts]


def times(factor: float) -> str:
    """Such as "1.55x" or "40.1x"."""
    return f"{factor:.2f}x" if factor < 3 else f"{factor:.1f}x"


def time_ratio(result: Result, against: str, of: str = OURS) -> float | None:
    """Median over the rounds of the times of ``of`` / ``against``; None if one of them was not measured.

    One that gave other numbers than ours did other work: it counts as not measured.
    """
    if any(differs(result["contestants"].get(label, {})) for label in (of, against)):
        return None
    ours, other = (samples(result, label) for label in (of, against))
    return statistics.median(a / b for a, b in zip(ours, other)) if ours and other else None


def differs(facts: Result) -> bool:
    """Whether the logits were others than our training form's."""
    return facts.get("error", 0.0) > TOLERANCES[facts.get("dtype", "float32")]


def samples(result: Result, label: str) -> Sequence[float]:
    """Times of a contestant in ms, one a round; empty if it was not measured."""
    return result["contestants"].get(label, {}).get("ms", [])
