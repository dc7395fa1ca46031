"""Milliseconds: of a training step with and without the compiled kernels, and of trained detectors side by side."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import paddle

from ... import accelerate
from ...models import count_parameters
from ...utils.files import replacing
from ...utils.machine import describe
from ...utils.runtime import threads
from ..commands import endless
from . import callbacks, config, cost
from .deployed import deploy_features
from .runner import EffConvTrainer, load_weights

MEASURED = "speed.json"


def compare_steps(cfg: Any, rounds: int = 10) -> dict[str, Any]:
    """Time training steps with `ppeffconv.accelerate` and without, in turns, on the same batches in one process.

    What is compared is the detector's plain convolutions and normalisations. Networks of this package run in compiled
    kernels either way; to compare all of a detector, name PaddleDetection's own parts: ``-o FasterRCNN.backbone=ResNet
    FasterRCNN.neck=FPN``.

    Returns:
        Median seconds of a step with and without, and the median over the turns of their ratio.
    """
    trainer = EffConvTrainer(cfg, "train")
    model, batches = trainer.model, endless(trainer.loader)
    model.train()
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds + 1):
        batch = next(batches)
        for fast in (True, False) if turn % 2 else (False, True):
            accelerate(model, enable=fast)
            paddle.seed(turn)  # the same boxes are drawn
            times[fast].append(_seconds(lambda batch=batch: _step(trainer, {**batch, "epoch_id": 0})))
    pairs = list(zip(times[True][1:], times[False][1:]))  # the first turn warms up
    return {
        "config": cfg["filename"],
        "backbone": type(model.backbone).__name__,
        "seconds": median(fast for fast, _ in pairs),
        "seconds_without": median(slow for _, slow in pairs),
        "speedup": median(slow / fast for fast, slow in pairs),
        "rounds": rounds,
        "batch": trainer.cfg["TrainReader"]["batch_size"],
        **_conditions(),
    }


def _conditions() -> dict[str, Any]:
    return {"threads": threads(), "machine": describe()}


def measure_runs(folders: Sequence[Path], rounds: int = 20) -> None:
    """Time finished runs, in turns, on an image of their own; multiply-adds and milliseconds go to ``speed.json``.

    Each is timed as evaluated (the whole detector, batch 1), and with backbone and pyramid in deploy form.

    Raises:
        FileNotFoundError: a folder holds no finished run.
    """
    runs = [_open(folder) for folder in folders]
    times = [{name: [] for name in run["work"]} for run in runs]
    with paddle.no_grad():
        for turn in range(rounds + 1):
            for run, taken in zip(runs, times):
                for name, work in run["work"].items():
                    seconds = _seconds(work)
                    if turn:  # the first turn warms up
                        taken[name].append(1000 * seconds)
    for run, taken in zip(runs, times):
        milliseconds = {name: round(median(values), 2) for name, values in taken.items()}
        content = {**run["facts"], "milliseconds": milliseconds, "rounds": rounds, **_conditions()}
        with replacing(run["folder"] / MEASURED) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _open(folder: Path) -> dict[str, Any]:
    cfg = config.load(config.file_of(folder), ["EvalReader.batch_size=1"])
    score = callbacks.final_score(folder, cfg["epoch"])
    if score is None:
        raise FileNotFoundError(f"{folder} holds no finished run: train it to its end first")
    trainer = EffConvTrainer(cfg, "eval")
    load_weights(trainer, cfg)
    model, batch = trainer.model, next(iter(trainer.loader))
    model.eval()
    height, width = batch["image"].shape[2:]
    facts = {
        "macs": cost.macs(model, height, width, score.get("sampled_macs")),
        "params": sum(count_parameters(part) for part in (model.backbone, model.neck) if part is not None),
        "image": [height, width],
    }
    deployed = copy.deepcopy(model)
    deploy_features(deployed)
    work = {"detector": lambda: model(batch), "deployed": lambda: deployed(batch)}
    return {"folder": folder, "facts": facts, "work": work}


def _step(trainer: Any, batch: dict[str, Any]) -> None:
    trainer.model(batch)["loss"].backward()
    trainer.optimizer.step()
    trainer.optimizer.clear_grad()


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
