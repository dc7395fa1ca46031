"""The weights of every row, of its first seed: published from its run, and built again from the table of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle import nn

from ppeffconv.data import build_loader
from ppeffconv.models import create_model
from ppeffconv.weights import publish
from ppeffconv.weights import rows as published
from ppeffconv.weights.table import FOLDER

from .examine import Finished
from .record import Record
from .rows import tag

SEED = 0  # of the runs whose weights are published


def publish_run(run: Finished, folder: Path = FOLDER) -> None:
    """Publish the weights of a run if it is of that seed: in float16 if that changes no prediction on the test images.

    Args:
        folder: of the table of weights.
    """
    record, cfg = run.record, run.cfg
    if record.seed != SEED:
        return
    publish(
        run.net,
        record.model,
        tag(record.row),
        [images for images, _ in build_loader(cfg, "Eval")],
        classes=record.classes,
        arguments=record.arguments,
        preprocessing=_preprocessing(cfg),
        metrics={
            "data": f"{cfg['DataLoader']['Eval']['dataset']['name']}, {record.samples} test images",
            "top1": round(100 * record.top1, 2),
            "measured_by": "ppeffconv",
        },
        recipe=record.command,
        folder=folder,
    )


def _preprocessing(cfg: Mapping[str, Any]) -> dict[str, Any]:
    steps = [step for step in cfg["DataLoader"]["Eval"]["transforms"] if isinstance(step, Mapping)]
    colour = "grey" if cfg["Arch"].get("in_channels", 3) == 1 else "RGB"
    return {"color": colour, **next((step["Normalize"] for step in steps if "Normalize" in step), {})}


def is_published(record: Record) -> bool:
    """Whether the row of ``record`` has weights in the table."""
    return any(row.tag == tag(record.row) for row in published(record.model))


def trained_network(record: Record) -> nn.Layer:
    """The network of the row of ``record`` with its published weights, in eval mode; errors as of `create_model`."""
    net = create_model(record.model, pretrained=tag(record.row))
    net.eval()
    return net
