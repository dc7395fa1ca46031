"""Callbacks of PaddleDetection's Trainer: sampling temperature, the run's history, and curves that go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ppdet.engine.callbacks import Callback, Checkpointer, VisualDLWriter

from ...engine.distributed import rank
from ...layers import set_temperature, temperature_at
from ...utils.files import replacing
from ..curves import continued_curves
from ..strict import finite
from . import checkpoints
from .config import HISTORY, run_dir
from .cost import Cost

STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the first six of pycocotools


class SamplingTemperature(Callback):
    """Lowers the temperature of every Gumbel sampler from ``start`` to ``end`` over the run, step by step.

    Networks without samplers are left alone.
    """

    def __init__(self, trainer: Any, start: float = 1.0, end: float = 0.03) -> None:
        super().__init__(trainer)
        self.start, self.end = start, end

    def on_step_begin(self, status: dict[str, Any]) -> None:
        if status["mode"] == "train":
            steps = status["steps_per_epoch"]
            step, total = status["epoch_id"] * steps + status["step_id"], self.model.cfg["epoch"] * steps
            set_temperature(self.model.model, temperature_at(step, total, self.start, self.end))


class History(Callback):
    """Writes what each epoch and each evaluation gave to ``history.jsonl``, which tables are made from.

    It also brings back the best score, which PaddleDetection forgets when it resumes.
    """

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self.path = run_dir(trainer.cfg) / HISTORY
        self._losses: list[float] = []
        self._cost = Cost(trainer.model)
        self._epoch = 0

    def on_train_begin(self, status: dict[str, Any]) -> None:
        past = [row for row in read(self.path) if row["epoch"] <= self.model.start_epoch]
        if rank() == 0:
            with replacing(self.path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in past), encoding="utf-8")
        scores = [row["AP"] / 100 for row in past if "AP" in row]
        for callback in self.model._callbacks:
            if isinstance(callback, Checkpointer) and scores:
                callback.best_ap = max(scores)

    def on_step_end(self, status: dict[str, Any]) -> None:
        if status["mode"] == "train":
            loss = float(np.mean(status["training_staus"].meters["loss"].value))
            if not np.isfinite(loss):
                raise RuntimeError(
                    f"the loss is {loss} in epoch {status['epoch_id'] + 1}, step {status['step_id'] + 1}; checkpoints "
                    "are untouched. Try a lower LearningRate.base_lr, or OptimizerBuilder.clip_grad_by_norm"
                )
            self._losses.append(loss)
        else:
            self._cost.add()

    def on_epoch_begin(self, status: dict[str, Any]) -> None:
        self._losses.clear()
        self._cost.clear()

    def on_epoch_end(self, status: dict[str, Any]) -> None:
        if status["mode"] == "train":
            self._epoch = status["epoch_id"] + 1
            self._write({"epoch": self._epoch, "loss": float(np.mean(self._losses))})
            if rank() == 0 and (keep := self.model.cfg["keep_checkpoints"]):
                checkpoints.prune(run_dir(self.model.cfg), keep)
        else:
            self._write({"epoch": self._epoch, **scores(self.model._metrics), **self._cost.read()})

    def _write(self, row: dict[str, Any]) -> None:
        if rank() == 0:
            append(self.path.parent, row)


class Curves(VisualDLWriter):
    """PaddleDetection's curves, which a resumed run continues in their file, as VisualDL shows one of a folder.

    Points are written at once; PaddleDetection's own writer leaves that to a thread, and its last ones may be lost.
    """

    def __init__(self, trainer: Any) -> None:
        Callback.__init__(self, trainer)  # VisualDLWriter's would open a file of its own

    def on_train_begin(self, status: dict[str, Any]) -> None:
        self.vdl_loss_step = self.model.start_epoch * status["steps_per_epoch"]
        self.vdl_mAP_step = len([row for row in read(run_dir(self.model.cfg) / HISTORY) if "AP" in row])
        if rank() == 0:
            self.vdl_writer = continued_curves(Path(self.model.cfg["vdl_log_dir"]), self.vdl_loss_step - 1)


def append(folder: Path, row: dict[str, Any]) -> None:
    """Add a row to the history of the run in ``folder``."""
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite(row), allow_nan=False) + "\n")


def final_score(folder: Path, epochs: int) -> dict[str, Any] | None:
    """Return the evaluation after the last of ``epochs`` epochs, None if it has not been."""
    rows = [row for row in read(folder / HISTORY) if row["epoch"] == epochs and "AP" in row]
    return rows[-1] if rows else None


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a history, but for a last one that a kill has cut; [] if there is none."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def scores(metrics: list[Any]) -> dict[str, float | None]:
    """COCO's six numbers in per cent, None where there are no objects of a size.

    A detector that found nothing has 0, which PaddleDetection does not report.
    """
    found = [metric.get_results().get("bbox", np.zeros(len(STATS))) for metric in metrics]
    values = [round(100 * float(value), 3) if value >= 0 else None for value in found[0]] if found else []
    return dict(zip(STATS, values))
