"""Depth maps side by side: what each method makes of the same low resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppeffconv.config import load_config
from ppeffconv.data import build_loader
from ppeffconv.engine.depth import rmse
from ppeffconv.engine.trained import load_network
from ppeffconv.models import BicubicUpsampling, GuidedFilterUpsampling
from ppeffconv.utils.files import replacing
from ppeffconv.utils.optional import require

from .depth_report import NAMES, Row

EXAMPLES = 3  # of the evaluation data, the first ones
INCH = 1.7  # side of a panel


def draw_scales(rows: Sequence[Row], runs: Path, folder: Path) -> list[str]:
    """Draw one picture for each scale, of the run with the least error of each method; return the files' names.

    Args:
        rows: see `depth_report.collect`.
        runs: the folder of the run folders.
        folder: of the pictures.
    """
    names = []
    for scale in sorted({row["scale"] for row in rows}):
        best: dict[str, Row] = {}
        for row in sorted((row for row in rows if row["scale"] == scale), key=lambda row: row["rmse"]):
            best.setdefault(row["method"], row)
        configs = {
            method: load_config(runs / row["folder"] / "config.yaml") for method, row in best.items() if "folder" in row
        }
        nets: dict[str, nn.Layer] = {
            "bicubic": BicubicUpsampling(scale),
            "guided_filter": GuidedFilterUpsampling(scale, *best["guided_filter"]["guided"]),
            **{method: load_network(cfg)[0] for method, cfg in configs.items()},
        }
        data = build_loader(next(iter(configs.values())), "Eval").dataset
        names.append(f"scenes_x{scale}.png")
        ordered = {name: nets[name] for name in NAMES if name in nets}
        draw(ordered, [data[i] for i in range(min(EXAMPLES, len(data)))], scale, folder / names[-1])
    return names


def draw(
    nets: Mapping[str, nn.Layer], examples: Sequence[tuple[np.ndarray, np.ndarray]], scale: int, path: Path
) -> None:
    """Draw image, low resolution, the nets' outputs with their errors, and the truth; one line for each example.

    Args:
        nets: by a name of `NAMES`.
        examples: (input [4, H, W], depth [1, H, W]).

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    require("matplotlib", "benchmark")
    from matplotlib.figure import Figure

    columns = len(nets) + 3
    figure = Figure(figsize=(INCH * columns, (INCH + 0.25) * len(examples)), layout="constrained", dpi=110)
    axes = figure.subplots(len(examples), columns, squeeze=False)
    for line, (x, target) in zip(axes, examples, strict=True):
        batch, truth = paddle.to_tensor(x[None]), paddle.to_tensor(target[None])
        with paddle.no_grad():
            made = {name: net(batch) for name, net in nets.items()}
        panels = [("image", x[:3].transpose(1, 2, 0)), (f"low resolution, 1/{scale}", x[3])]
        panels += [
            (f"{NAMES[name].strip('*')}, {float(rmse(y, truth)):.1f} cm", y[0, 0].numpy()) for name, y in made.items()
        ]
        limits = {"vmin": target.min(), "vmax": target.max(), "cmap": "viridis"}
        for axis, (title, panel) in zip(line, [*panels, ("truth", target[0])], strict=True):
            axis.imshow(panel, interpolation="nearest", **({} if panel.ndim == 3 else limits))
            axis.set_title(title, fontsize=6)
            axis.axis("off")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
