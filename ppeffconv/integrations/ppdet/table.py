"""The table of a README, from the folders of finished runs."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from ...utils.machine import title
from ...utils.markers import write_between
from ...utils.tables import spread
from . import callbacks, config
from .speed import MEASURED

MARKER = "detection"
HEADER = "| configuration | AP | AP50 | density | G MACs | M parameters | detector, ms | deployed, ms |"


def collect(root: Path) -> list[dict[str, Any]]:
    """Return a row for each configuration with finished runs under ``root``, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
    """
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for history in sorted(root.rglob(callbacks.HISTORY)):
        folder = history.parent
        settings = config.settings_of(folder)
        score = callbacks.final_score(folder, settings["epoch"])
        if score is not None:
            speed = folder / MEASURED
            measured = json.loads(speed.read_text(encoding="utf-8")) if speed.is_file() else {}
            runs[folder.name].append({"seed": settings["seed"], **score, **measured})
    if not runs:
        raise FileNotFoundError(f"no finished runs under {root}")
    return [{"config": name, "runs": runs[name]} for name in sorted(runs)]


def render(rows: list[dict[str, Any]]) -> str:
    """Return the table: means over seeds, with the standard deviation where there are several."""
    lines = [HEADER, "|---" * (HEADER.count("|") - 1) + "|"]
    for row in rows:
        runs = row["runs"]
        times = [run["milliseconds"] for run in runs if "milliseconds" in run]
        cells = [
            f"[{row['config']}]({row['config']}.yaml)",
            spread([run["AP"] for run in runs], 1),
            spread([run["AP50"] for run in runs], 1),
            _mean([run["density"] for run in runs if "density" in run], "{:.2f}"),
            _mean([run["macs"] / 1e9 for run in runs if "macs" in run], "{:.3f}"),
            _mean([run["params"] / 1e6 for run in runs if "params" in run], "{:.2f}"),
            _mean([time["detector"] for time in times], "{:.1f}"),
            _mean([time["deployed"] for time in times], "{:.1f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n\n".join(filter(None, ["\n".join(lines), _measured_on(rows)]))


def _measured_on(rows: list[dict[str, Any]]) -> str:
    """What the milliseconds were measured on, in words; empty if nothing was timed."""
    timed = [run for row in rows for run in row["runs"] if "milliseconds" in run]
    if not timed:
        return ""
    threads = f"{timed[0]['threads']} threads, " if "threads" in timed[0] else ""
    return (
        f"Milliseconds: {title(timed[0]['machine'])}, {threads}float32, batch 1, median over {timed[0]['rounds']} "
        "rounds, all detectors in turns."
    )


def write(document: Path, text: str) -> None:
    """Put ``text`` between the markers of ``document``; errors as of `write_between`."""
    write_between(document, MARKER, text)


def _mean(values: list[float], form: str) -> str:
    return form.format(mean(values)) if values else "–"
