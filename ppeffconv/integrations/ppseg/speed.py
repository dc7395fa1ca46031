"""Milliseconds: of a training step with and without the compiled kernels, and of trained networks side by side."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.io import DistributedBatchSampler
from paddleseg.cvlibs import SegBuilder

from ... import accelerate, deploy
from ...utils.files import replacing
from ...utils.machine import describe
from ...utils.runtime import threads
from ..commands import endless
from .loading import Loader
from .losses import total_losses
from .reading import check_dataset
from .runner import CONFIG_FILE, RESULT_FILE, SKIPPED_FILE, load_trained, prepare
from .settings import RunConfig

SPEED_FILE = "speed.json"


def compare_steps(cfg: RunConfig, rounds: int = 10) -> dict[str, Any]:
    """Time training steps with `ppeffconv.accelerate` and without, in turns, on the same batches in one process.

    What is compared are Paddle's own convolutions and normalisations. Networks of this package run in compiled kernels
    either way; so name a model and a backbone of PaddleSeg's: ``-o model.backbone='{type: ResNet50_vd}'``.

    Returns:
        Median seconds of a step with and without, and the median over the turns of their ratio.
    """
    builder = SegBuilder(cfg)
    model, optimizer, losses = builder.model, builder.optimizer, builder.loss
    prepare(model, cfg)
    model.train()
    dataset = check_dataset(builder.train_dataset, True, cfg.run_dir / SKIPPED_FILE)
    batches = endless(Loader(dataset, batch_sampler=DistributedBatchSampler(dataset, cfg.batch_size, shuffle=True)))
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds + 1):
        batch = next(batches)
        for fast in (True, False) if turn % 2 else (False, True):
            accelerate(model, enable=fast)
            paddle.seed(turn)  # the same masks are drawn
            times[fast].append(_seconds(lambda batch=batch: _step(model, optimizer, losses, batch)))
    pairs = list(zip(times[True][1:], times[False][1:]))  # the first turn warms up
    return {
        "model": type(model).__name__,
        "backbone": cfg.model_cfg.get("backbone", {}),
        "seconds": median(fast for fast, _ in pairs),
        "seconds_without": median(slow for _, slow in pairs),
        "speedup": median(slow / fast for fast, slow in pairs),
        "rounds": rounds,
        "batch": list(batch["img"].shape),
        **_machine(),
    }


def measure_runs(folders: Sequence[Path], images: int = 40, rounds: int = 3) -> None:
    """Time finished runs in deploy form, in turns on the same validation images, batch 1; into each ``speed.json``.

    A turn gives every network one image, so that what else the machine does meets them all. Masks draw the noise that
    they draw in evaluation. Milliseconds are the median over images and rounds.

    Raises:
        FileNotFoundError: a folder holds no finished run.
    """
    runs = [_open(folder, images) for folder in folders]
    times: list[list[float]] = [[] for _ in runs]
    with paddle.no_grad():
        for turn in range(-1, rounds):  # the first turn warms up
            for image in range(images):
                for (net, inputs), taken in zip(runs, times):
                    x = inputs[image % len(inputs)]
                    seconds = _seconds(lambda net=net, x=x: net(x))
                    if turn >= 0:
                        taken.append(1000 * seconds)
    for folder, taken in zip(folders, times):
        content = {"milliseconds": round(median(taken), 2), "images": images, "rounds": rounds, **_machine()}
        with replacing(folder / SPEED_FILE) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _open(folder: Path, images: int) -> tuple[nn.Layer, list[Tensor]]:
    """The network in deploy form, and the first images of the validation set as it sees them."""
    if not (folder / RESULT_FILE).is_file():
        raise FileNotFoundError(f"{folder} holds no finished run: train it to its end first")
    cfg = RunConfig(folder / CONFIG_FILE)
    builder, model = load_trained(cfg)
    dataset = check_dataset(builder.val_dataset, False, folder / SKIPPED_FILE)
    inputs = [paddle.to_tensor(dataset[i]["img"]).unsqueeze(0) for i in range(min(images, len(dataset)))]
    return deploy(model), inputs


def _step(model: nn.Layer, optimizer: Any, losses: dict[str, Any], batch: dict[str, Tensor]) -> None:
    sum(total_losses(model, model(batch["img"]), losses, batch)).backward()
    optimizer.step()
    optimizer.clear_grad()


def _machine() -> dict[str, Any]:
    return {"threads": threads(), "machine": describe()}


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
