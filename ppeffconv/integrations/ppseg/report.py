"""The table and the figure of a README, from the folders of finished runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from ...utils.figures import BLUE, GREEN, ORANGE, VERMILION, sheet
from ...utils.files import replacing
from ...utils.machine import conditions, title
from ...utils.markers import write_between
from ...utils.optional import require
from ...utils.tables import spread
from .runner import CONFIG_FILE, RESULT_FILE
from .speed import SPEED_FILE

MARKER = "segmentation"
COLUMNS = ("network", "mIoU, %", "density", "G MACs", "ms, deploy form", "command")
# name of a series: colour and marker; in the order of the table
SERIES = {
    "uniform sampling (input size)": (BLUE, "s"),
    "stochastic sampling": (VERMILION, "o"),
    "deterministic sampling": (ORANGE, "^"),
    "ReLU gating": (GREEN, "D"),
}
Row = dict[str, Any]


def collect(root: Path) -> list[Row]:
    """A row for each network with finished runs under ``root``, with one entry in ``runs`` for each seed.

    Raises:
        FileNotFoundError: there is none.
    """
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for result in sorted(root.rglob(RESULT_FILE)):
        folder = result.parent
        cfg = yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        facts = json.loads(result.read_text(encoding="utf-8"))
        if (folder / SPEED_FILE).is_file():
            facts["speed"] = json.loads((folder / SPEED_FILE).read_text(encoding="utf-8"))
        rows[_describe(cfg, facts["image"])].append(facts)
    if not rows:
        raise FileNotFoundError(f"no finished runs under {root}")
    order = list(SERIES)
    found = [{"series": series, "label": label, "runs": runs} for (series, label), runs in rows.items()]
    return sorted(found, key=lambda row: (order.index(row["series"]), -_mean(row, "macs")))


def _describe(cfg: Mapping[str, Any], image: list[int]) -> tuple[str, str]:
    """Series and label of a run."""
    backbone = cfg["model"]["backbone"]
    name, weight = backbone["name"], (backbone.get("auxiliary") or {}).get("sparse")
    if name.startswith("sampled_"):
        deterministic = (backbone.get("kwargs") or {}).get("sampling") == "deterministic"
        return ("deterministic" if deterministic else "stochastic") + " sampling", f"{name}, sparse loss {weight}"
    return ("ReLU gating" if name.startswith("gated_") else "uniform sampling (input size)"), f"{name}, {image[0]} px"


def table(rows: list[Row]) -> str:
    """A row for each network: mean over the seeds, with the standard deviation where there are several."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        first, series = row["runs"][0], row["series"].partition(" (")[0]
        density = f"{_mean(row, 'density'):.2f}" if "density" in first else "–"
        times = _times(row)
        cells = [
            f"{series}: {row['label']}",
            spread([100 * run["miou"] for run in row["runs"]], 1),
            density,
            f"{_mean(row, 'macs') / 1e9:.3f}",
            f"{mean(times):.1f}" if times else "–",
            f"`{first['command']}`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine(rows: list[Row]) -> str:
    """What the milliseconds were measured on, in words; empty if nothing was timed."""
    if not (speeds := _speeds(rows)):
        return ""
    speed = speeds[0]
    return (
        f"Milliseconds: {title(speed['machine'])}, {speed['threads']} threads, float32, batch 1, median over "
        f"{speed['rounds']} rounds of {speed['images']} validation images, all networks in turns."
    )


def acceleration(path: Path) -> str:
    """What the command ``speed`` measured, in words; empty if there is no such file."""
    if not path.is_file():
        return ""
    facts = json.loads(path.read_text(encoding="utf-8"))
    network = f"{facts['model']} with {facts['backbone']['type']}"
    after, before = (1000 * facts[key] for key in ("seconds", "seconds_without"))
    shape = "x".join(map(str, facts["batch"]))
    return (
        f"`ppeffconv.accelerate` makes a training step of PaddleSeg's own {network} {facts['speedup']:.2f} times as "
        f"fast: {after:.0f} ms instead of {before:.0f} for a batch of {shape}, float32, {title(facts['machine'])}, "
        f"{facts['threads']} threads, in turns with Paddle's kernels, {facts['rounds']} rounds."
    )


def draw(rows: list[Row], path: Path) -> None:
    """mIoU against multiply-adds, and against milliseconds where they were measured; bars are standard deviations."""
    require("matplotlib", "benchmark")
    timed = all(_times(row) for row in rows)
    footnote = f"Milliseconds: {conditions(_speeds(rows)[0])}" if timed else ""
    layout = {"ncols": 1 + timed, "figsize": (5.5 * (1 + timed), 4.2), "squeeze": False, "sharey": True}
    with sheet(path, footnote=footnote, **layout) as axes:
        panels = [("G multiply-adds", lambda row: _mean(row, "macs") / 1e9)]
        if timed:
            panels.append(("milliseconds, deploy form, batch 1", lambda row: mean(_times(row))))
        for axis, (label, cost) in zip(axes[0], panels):
            for series, (colour, marker) in SERIES.items():
                points = sorted((row for row in rows if row["series"] == series), key=cost)
                if not points:
                    continue
                scores = [[100 * run["miou"] for run in row["runs"]] for row in points]
                axis.errorbar(
                    [cost(row) for row in points],
                    [mean(values) for values in scores],
                    [stdev(values) if len(values) > 1 else 0 for values in scores],
                    color=colour,
                    marker=marker,
                    label=series,
                    capsize=3,
                )
            axis.set_xlabel(label)
            axis.grid(True)
        axes[0][0].set_ylabel("mIoU, %")
        axes[0][0].legend(loc="best")


def write(document: Path, rows: list[Row]) -> None:
    """Put table and figure between the markers of ``document``; the figure and ``results.json`` lie beside it.

    So do ``accelerate.json`` and ``masks.png``, if the command ``speed`` and tools/visualize.py have written them.

    Raises:
        FileNotFoundError: there is no document.
        ValueError: it has no markers.
    """
    faster = acceleration(document.with_name("accelerate.json"))
    figure = "![mIoU against multiply-adds and milliseconds](miou.png)"
    masks = "![Where a network samples](masks.png)" if document.with_name("masks.png").is_file() else ""
    write_between(document, MARKER, "\n\n".join(filter(None, [table(rows), machine(rows), figure, masks, faster])))
    draw(rows, document.with_name("miou.png"))
    with replacing(document.with_name("results.json")) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _mean(row: Row, key: str) -> float:
    return mean(run[key] for run in row["runs"])


def _speeds(rows: list[Row]) -> list[Row]:
    return [run["speed"] for row in rows for run in row["runs"] if "speed" in run]


def _times(row: Row) -> list[float]:
    return [run["speed"]["milliseconds"] for run in row["runs"] if "speed" in run]
