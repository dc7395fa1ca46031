"""Tables in markdown from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from ppeffconv.utils.machine import title

from .engines import ENGINES, PEERS
from .noise import BUSY
from .rows import OURS, Row
from .session import Session
from .targets import samples, time_ratio

NONE = "–"
NOISY = "†"


def heading(session: Session) -> str:
    """Machine, threads, precision, the peers' versions and settings, and limits in a sentence."""
    machine, limits = session["machine"], session["limits"]
    contestants = [each for row in session["rows"].values() for each in row["contestants"].values()]
    versions = sorted({each["version"] for each in contestants if "version" in each})
    plain = any(each.get("kernels") == [] for each in contestants)
    kernels = "; **without compiled kernels**" if plain else ""
    noisy = any(row["other_cores"] > BUSY for row in session["rows"].values())
    busy = f"; {NOISY} others used more than {BUSY:g} cores meanwhile" if noisy else ""
    return (
        f"{title(machine)}, {machine['cores']} cores; {session['threads']} threads; float32 unless named otherwise; "
        f"{', '.join(versions)}{_settings(contestants)}; {session['rounds']} rounds of turns; measured limits "
        f"{limits['gflops']:.0f} GFLOP/s and {limits['gb_per_s']:.1f} GB/s; {session['date']}; "
        f"`{session['command']}`{kernels}{busy}."
    )


def _settings(contestants: list[Mapping[str, Any]]) -> str:
    """How the peers that took part were set up."""
    present = {each.get("engine") for each in contestants if "missing" not in each}
    settings = [ENGINES[engine] for engine in (*PEERS, "paddle") if engine in present]
    return f" ({'; '.join(settings)})" if settings else ""


def targets_table(session: Session, rows: Iterable[Row]) -> str:
    """What must be reached, what was, and how close the bound is."""
    lines = [
        "| work | must reach | measured | reached | ours, ms | bound, ms | reached of it |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        entry = session["rows"].get(row.name)
        limit = " | ".join(_bound(entry, session["limits"]) if entry else (NONE, NONE, NONE))
        if not row.targets:
            lines.append(f"| {row.work} | {NONE} | {NONE} | {NONE} | {limit} |")
        for target in row.targets:
            figure, reached = _judged(target, entry)
            lines.append(f"| {row.work} | {target.text} | {figure} | {reached} | {limit} |")
    return "\n".join(lines)


def _judged(target: Any, entry: Mapping[str, Any] | None) -> tuple[str, str]:
    if entry is None:
        return "not measured", NONE
    missing = entry["contestants"].get(OURS, {}).get("missing")
    if missing:
        return f"missing: {missing}", "no"
    judged = target.judge(entry)
    if judged is None:
        return "not measured", NONE
    figure, reached = judged
    if entry["other_cores"] > BUSY:
        return f"{figure} {NOISY}", "unsure"
    return figure, "yes" if reached else "**no**"


def _bound(entry: Mapping[str, Any], limits: Mapping[str, float]) -> tuple[str, str, str]:
    """Our time, the least time that the work allows, and its share in ours."""
    facts = entry["contestants"].get(OURS, {})
    times = {
        "arithmetic": 2e-6 * facts.get("macs", 0) / limits["gflops"],
        "memory": 1e-6 * facts.get("bytes", 0) / limits["gb_per_s"],
    }
    kind = max(times, key=times.get)
    if not times[kind] or not facts.get("ms"):
        return NONE, NONE, NONE
    ours = statistics.median(facts["ms"])
    return milliseconds(ours), f"{milliseconds(times[kind])} ({kind})", f"{100 * times[kind] / ours:.0f} %"


def times_table(session: Session) -> str:
    """Times of every contestant, with quartiles, peak memory and ratios."""
    lines = ["| work | contestant | ms a step (quartiles) | ours is | peak MB |", "|---|---|---|---|---|"]
    for entry in session["rows"].values():
        for label, facts in entry["contestants"].items():
            ratio = None if label == OURS else time_ratio(entry, label)
            ours = NONE if ratio is None else f"{ratio:.3f} of it"
            peak = f"{facts['peak_mb']:.0f}" if "peak_mb" in facts else NONE
            lines.append(f"| {entry['work']} | {label} | {_spread(samples(entry, label))} | {ours} | {peak} |")
    return "\n".join(lines)


def _spread(times: list[float]) -> str:
    if len(times) < 2:
        return milliseconds(times[0]) if times else "missing"
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return f"{milliseconds(middle)} ({milliseconds(low)} to {milliseconds(high)})"


def milliseconds(value: float) -> str:
    """Such as "123", "38.3" or "0.284"."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
