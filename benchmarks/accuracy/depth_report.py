"""The table of depth upsampling: errors of finished runs, and of methods that do not learn, on the same data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import paddle

from ppeffconv.config import Config, load_config
from ppeffconv.data import build_dataset, build_loader
from ppeffconv.data.depth_transforms import PointSampledPair
from ppeffconv.engine.build import build_network
from ppeffconv.engine.checkpoint import STATES, load_checkpoint
from ppeffconv.engine.depth import evaluate_depth
from ppeffconv.engine.queue import QueuedRun
from ppeffconv.models import BicubicUpsampling, GuidedFilterUpsampling, count_parameters, profile
from ppeffconv.utils.files import replacing
from ppeffconv.utils.logger import get_logger
from ppeffconv.utils.markers import write_between

MARKER = "upsampling"
TUNING_PAIRS = 40  # of the training data, to choose the guided filter's radius and eps
RADII = (1, 2, 3)  # of the guided filter, in units of the scale
EPS = (1e-5, 1e-4, 1e-3)
NAMES = {
    "bicubic": "bicubic",
    "guided_filter": "guided filter",
    "plain_up_net": "the same net, plain join",
    "ddf_up_net": "**DDF-Up-Net**",
}
Row = dict[str, Any]


def collect(runs: Iterable[QueuedRun], output: str | Path) -> list[Row]:
    """The rows of a queue's runs that have a best checkpoint, and of the baselines of each scale among them.

    Args:
        runs: those of the queue's file, each named as its run folder.
        output: the folder of the run folders.

    Raises:
        ValueError: no run has a checkpoint yet.
    """
    rows: list[Row] = []
    configs: dict[int, Config] = {}
    for run in runs:
        folder = Path(output, run.name)
        if not (folder / "best").is_dir():
            get_logger().warning(f"no checkpoint in {folder}: the row of {run.name} is left out")
            continue
        cfg = load_config(folder / "config.yaml")
        rows.append(_trained(cfg, run.command.replace(" --resume", ""), folder))
        configs.setdefault(cfg["Arch"]["scale"], cfg)
    if not rows:
        raise ValueError(f"no run of the queue has a checkpoint in {output}: run tools/run_queue.py first")
    return [row for cfg in configs.values() for row in baselines(cfg)] + rows


def _trained(cfg: Config, command: str, folder: Path) -> Row:
    states = load_checkpoint(folder / "best")[STATES]
    net = build_network(cfg)
    height, width = build_dataset(cfg["DataLoader"]["Eval"]["dataset"], train=False)[0][1].shape
    return {
        "method": cfg["Arch"]["name"],
        "scale": cfg["Arch"]["scale"],
        "seed": cfg["Global"]["seed"],
        "rmse": states["best"]["score"],
        "epoch": states["best"]["epoch"],
        "params": count_parameters(net),
        "macs": profile(net, (4, height, width)).macs,
        "size": [height, width],
        "folder": folder.name,
        "command": command,
    }


def baselines(cfg: Config) -> list[Row]:
    """Bicubic interpolation and the guided filter on the evaluation data of a run."""
    scale, loader = cfg["Arch"]["scale"], build_loader(cfg, "Eval")
    radius, eps = tune_guided_filter(cfg)
    nets = {"bicubic": BicubicUpsampling(scale), "guided_filter": GuidedFilterUpsampling(scale, radius, eps)}
    rows = [{"method": name, "scale": scale, "rmse": evaluate_depth(net, loader)["rmse"]} for name, net in nets.items()]
    rows[1]["guided"] = [radius, eps]
    return rows


def tune_guided_filter(cfg: Config) -> tuple[int, float]:
    """The radius and eps of the least error on some training pairs."""
    scale = cfg["Arch"]["scale"]
    pairs = build_dataset(cfg["DataLoader"]["Train"]["dataset"], train=True)
    made = [PointSampledPair(scale)(pairs[i]) for i in range(min(TUNING_PAIRS, len(pairs)))]
    batches = [
        [paddle.to_tensor(np.stack(arrays)) for arrays in zip(*made[i : i + 10], strict=True)]
        for i in range(0, len(made), 10)
    ]

    def error(choice: tuple[int, float]) -> float:
        return evaluate_depth(GuidedFilterUpsampling(scale, *choice), batches)["rmse"]

    return min(product([scale * radius for radius in RADII], EPS), key=error)


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: a row for each method, a column for each scale; then the command of every run."""
    scales = sorted({row["scale"] for row in rows})
    lines = [
        "| RMSE in cm | " + " | ".join(f"x{scale}" for scale in scales) + " | parameters | multiply-adds |",
        "|---" * (len(scales) + 3) + "|",
    ]
    for method, name in NAMES.items():
        own = [row for row in rows if row["method"] == method]
        if own:
            errors = [_errors([row for row in own if row["scale"] == scale]) for scale in scales]
            lines.append(f"| {name} | {' | '.join(errors)} | {_range(own, 'params', 1e3, 'k')} | {_macs(own)} |")
    lines += ["", "| run | RMSE, cm | best epoch | command |", "|---|---|---|---|"]
    for row in rows:
        if "command" in row:
            run = f"{row['method']} x{row['scale']}, seed {row['seed']}"
            lines.append(f"| {run} | {row['rmse']:.2f} | {row['epoch']} | `{row['command']}` |")
    chosen = [f"x{row['scale']}: {row['guided'][0]} and {row['guided'][1]:g}" for row in rows if "guided" in row]
    if chosen:
        lines += ["", f"Radius and ε of the guided filter, chosen on training pairs: {'; '.join(chosen)}."]
    return "\n".join(lines)


def _errors(rows: Sequence[Row]) -> str:
    errors = [row["rmse"] for row in rows]
    if not errors:
        return "–"
    spread = f" ({min(errors):.2f} to {max(errors):.2f}, {len(errors)} seeds)" if len(errors) > 1 else ""
    return f"{mean(errors):.2f}{spread}"


def _range(rows: Sequence[Row], key: str, unit: float, symbol: str) -> str:
    values = sorted({row[key] / unit for row in rows if key in row})
    if not values:
        return "0"
    ends = [f"{value:.3g}" for value in (values[0], values[-1])]
    return f"{' to '.join(dict.fromkeys(ends))} {symbol}"


def _macs(rows: Sequence[Row]) -> str:
    if not any("macs" in row for row in rows):
        return "–"
    height, width = next(row["size"] for row in rows if "size" in row)
    return f"{_range(rows, 'macs', 1e9, 'G')} at {height}x{width}"


def write_results(rows: Sequence[Row], path: Path) -> None:
    """Keep the rows as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(list(rows), indent=1) + "\n", encoding="utf-8")


def write_into(document: Path, rows: Sequence[Row], pictures: Sequence[str] = ()) -> None:
    """Put the table and pictures (paths relative to the document) between the markers of a document.

    Raises:
        FileNotFoundError: there is no document.
        ValueError: it does not hold the markers once.
    """
    shown = [table(rows), *(f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in pictures)]
    write_between(document, MARKER, "\n\n".join(shown))
