"""The figure: accuracy against multiply-adds, and against measured milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ppeffconv.utils.figures import BLACK, BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, sheet
from ppeffconv.utils.machine import conditions
from ppeffconv.utils.optional import require

from .record import Record
from .rows import BASELINE, ROWS
from .tables import Records, Speed

# of each method: name, colour, marker
SERIES = {
    "octconv": ("OctConv", BLUE, "o"),
    "spconv": ("SPConv", VERMILION, "s"),
    "versatile": ("versatile filters", GREEN, "^"),
    "ddf": ("DDF", PURPLE, "D"),
    "sampling": ("stochastic sampling", ORANGE, "v"),
    "gating": ("ReLU gating", SKY, "P"),
    "baselines": ("ghost, het", GREY, "X"),
}
DEPTH = 2.5  # points below the dense network, where the figure ends; rows further down lie on its edge


def draw(records: Records, speed: Speed, path: Path) -> None:
    """Draw the rows that are trained, in more panels those that are timed; bars are standard deviations.

    Rows far below the dense network lie on the lower edge, with their accuracy beside them.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    require("matplotlib", "benchmark")
    shape: dict[str, Any] = {}
    panels: list[tuple[str, Callable[[str], float | None]]] = [
        ("M multiply-adds", lambda row: mean(run.macs for run in records[row]) / 1e6)
    ]
    if speed["rows"]:
        shape["footnote"] = f"Milliseconds: {conditions(speed)}"
        panels += [
            ("ms, deploy form, batch 1", lambda row: _milliseconds(speed, row, "1")),
            ("ms an image, deploy form, batch 64", lambda row: _milliseconds(speed, row, "64")),
        ]
    shape |= {"ncols": len(panels), "figsize": (1.5 + 4 * len(panels), 5), "sharey": True, "squeeze": False}
    lowest = _score(records[BASELINE]) - DEPTH if BASELINE in records else 0.0
    with sheet(path, **shape) as axes:
        for axis, (title, cost) in zip(axes[0], panels):
            for row, runs in records.items():
                if (place := cost(row)) is not None:
                    _point(axis, row, place, runs, lowest)
            axis.set_xlabel(title)
            axis.set_xlim(left=0)
            axis.grid(True)
        axes[0][0].set_ylabel("top-1 on Fashion-MNIST, %")
        handles: dict[str, Any] = {}
        for axis in axes[0]:
            handles |= dict(zip(*reversed(axis.get_legend_handles_labels())))
        axes[0][0].figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=9)


def _score(runs: list[Record]) -> float:
    return 100 * mean(run.top1 for run in runs)


def _point(axis: Any, row: str, place: float, runs: list[Record], lowest: float) -> None:
    score, bar = _score(runs), 100 * stdev(run.top1 for run in runs) if len(runs) > 1 else None
    height = max(score, lowest)
    name, colour, marker = ("dense", BLACK, "*") if row == BASELINE else SERIES[ROWS[row].method]
    axis.errorbar(place, height, bar, color=colour, marker=marker, linestyle="", label=name, capsize=3)
    if row == BASELINE:
        axis.axhline(score, color=GREY, linewidth=1, linestyle=(0, (5, 4)), zorder=0)
    else:
        below = score < lowest
        label = ROWS[row].option + (f" ↓ {score:.1f}" if below else "")
        beside = {"textcoords": "offset points", "xytext": (-2, 6) if below else (5, 4), "rotation": 60 * below}
        axis.annotate(label, (place, height), fontsize=8, color=DARK, **beside)


def _milliseconds(speed: Speed, row: str, batch: str) -> float | None:
    times = speed["rows"].get(row)
    return times and times[batch]["ms"]
