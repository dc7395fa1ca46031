"""The figures of `benchmark.py growth`: one a method, milliseconds beside multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppeffconv.utils.figures import BLUE, DARK, GREY, ORANGE, sheet
from ppeffconv.utils.machine import conditions

from .deploy_rows import NETWORKS, SAMPLED, SAMPLED_DENSITY, SAMPLED_NAME, SIZE, Growth, growth_shapes
from .figures import median
from .session import Session
from .targets import samples

PLAIN = "resnet50"
METHODS = {  # networks of a figure
    "octconv": ("oct_resnet50_25", "oct_resnet50_50"),
    "spconv": ("sp_resnet50",),
    "versatile": ("versatile_resnet50_v1", "versatile_resnet50_v2"),
    "ddf": ("ddf_resnet50",),
    "sampling": (SAMPLED_NAME,),
}
COLOURS = (BLUE, ORANGE)
Rows = Mapping[Growth, Mapping[str, Any]]


def draw_growth(session: Session, file: Path) -> dict[str, str]:
    """Draw what the session in ``file`` has rows for, beside it; returns names and captions."""
    rows = {shape: entry for shape in growth_shapes() if (entry := session["rows"].get(shape.row))}
    axes = {"side": [s for s in rows if s.batch == 1], "batch": [s for s in rows if s.side == SIZE]}
    axes["batch"].sort(key=lambda shape: shape.batch)
    drawn = {}
    for method, names in METHODS.items():
        if any(samples(entry, name) for entry in rows.values() for name in names):
            path = file.with_name(f"{file.stem}_{method}.png")
            _draw(session, rows, axes, names, path)
            drawn[path.name] = f"{method}: milliseconds and multiply-adds as image and batch grow"
    return drawn


def _draw(session: Session, rows: Rows, axes: Mapping[str, list[Growth]], names: tuple[str, ...], path: Path) -> None:
    with sheet(path, figsize=(9, 4), footnote=conditions(session), ncols=2) as places:
        for place, (axis, shapes) in zip(places, axes.items()):
            rate = _rate(rows)  # multiply-adds of ResNet-50 in a millisecond
            for name, colour in zip((PLAIN, *names), (GREY, *COLOURS)):
                known = [shape for shape in shapes if samples(rows[shape], name)]
                x = [getattr(shape, axis) for shape in known]
                place.plot(x, [median(rows[shape], name) for shape in known], "o-", color=colour, label=_title(name))
                ideal = [rows[shape]["contestants"][name]["macs"] / rate for shape in known]
                place.plot(x, ideal, color=colour, linestyle=(0, (4, 3)), linewidth=1.2)
            _label(place, axis, x, rate)
        places[0].plot([], [], color=DARK, linestyle=(0, (4, 3)), linewidth=1.2, label="multiply-adds (right)")
        places[0].legend(loc="upper left", fontsize=9)


def _rate(rows: Rows) -> float:
    """At 224x224, batch 1, or the first shape that there is."""
    usual = Growth(SIZE, 1)
    entry = rows[usual] if usual in rows else next(iter(rows.values()))
    return entry["contestants"][PLAIN]["macs"] / median(entry, PLAIN)


def _label(axes: Any, axis: str, ticks: list[int], rate: float) -> None:
    axes.set(xscale="log", yscale="log", ylabel="milliseconds" if axis == "side" else "")
    axes.set_xlabel("side of the image, batch 1" if axis == "side" else f"batch, {SIZE}x{SIZE}")
    axes.set_xticks(ticks, map(str, ticks))
    axes.xaxis.minorticks_off()
    _plain_ticks(axes.yaxis)
    axes.grid()
    right = axes.secondary_yaxis("right", functions=(lambda ms: ms * rate / 1e9, lambda giga: giga * 1e9 / rate))
    right.set_ylabel("" if axis == "side" else "giga multiply-adds")
    _plain_ticks(right.yaxis)


def _plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10, 20, ..."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _title(name: str) -> str:
    return f"{SAMPLED.title}, density {SAMPLED_DENSITY:g}" if name == SAMPLED_NAME else NETWORKS[name].title
