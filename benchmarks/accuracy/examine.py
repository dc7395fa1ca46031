"""A finished run looked at once more: what it scores on the test images, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppeffconv.config import Config, load_config
from ppeffconv.data import build_loader
from ppeffconv.engine.checkpoint import STATES, load_checkpoint
from ppeffconv.engine.queue import QueuedRun
from ppeffconv.engine.runs import find_resume
from ppeffconv.engine.trained import load_network
from ppeffconv.models.cost import CostOfImages
from ppeffconv.utils.machine import describe
from ppeffconv.utils.rng import fixed_seed

from .record import FIRST, Record

EVALUATED = re.compile(r"evaluation after epoch (\d+)\b.*? top1 ([\d.]+)")
SEED = 0  # of the noise of networks that draw some, as in `evaluate`


@dataclass(frozen=True)
class Finished:
    """A run that has come to its end."""

    record: Record
    cfg: Config
    net: nn.Layer


def examine(run: QueuedRun) -> Finished:
    """Evaluate a run that is done once more, and count what it costs; a Record and what it is of.

    Raises:
        FileNotFoundError: its folder is gone.
        RuntimeError: what its checkpoint scores is not finite, or not what its log says.
    """
    checkpoint = find_resume("auto", run.folder, run.name)
    if checkpoint is None:
        raise FileNotFoundError(f"{run.name} is done, but its folder in {run.folder} is gone: train it again")
    cfg = load_config(checkpoint.parent / "config.yaml")
    epochs, done = cfg["Global"]["epochs"], load_checkpoint(checkpoint)[STATES]["epoch"]
    if done != epochs:
        raise RuntimeError(f"{checkpoint} is of epoch {done}, though the queue says that all {epochs} are done")
    net, _ = load_network(cfg, checkpoint)
    loader = build_loader(cfg, "Eval")
    with CostOfImages(net) as cost:
        try:
            right = hits(net, loader)
        except RuntimeError as error:
            raise RuntimeError(f"{checkpoint}: {error}") from None
    facts, curve = cost.facts(), read_curve(checkpoint.parent / "train.log")
    if len(curve) != epochs or abs(right.mean() - curve[-1]) > 1e-4:  # the log has four digits
        raise RuntimeError(
            f"{checkpoint} scores {right.mean():.4f} after {epochs} epochs, but its log ends in {curve[-1:]} after "
            f"{len(curve)}: they are not of one run"
        )
    shape = loader.dataset[0][0].shape
    arguments = {k: v for k, v in cfg["Arch"].items() if k not in ("name", "num_classes", "pretrained")}
    record = Record(
        name=run.name,
        command=run.command,
        began=run.attempts[-1]["began"],
        seconds=run.seconds,
        epochs=epochs,
        model=cfg["Arch"]["name"],
        arguments=arguments,
        classes=cfg["Arch"]["num_classes"],
        input_shape=tuple(shape),
        params=facts["params"],
        macs=facts["macs"],
        density=facts.get("density"),
        top1=float(right.mean()),
        samples=len(right),
        first=int(right[:FIRST].sum()),
        curve=tuple(curve),
        cpu=str(describe()["cpu"]),
        version=paddle.__version__,
    )
    return Finished(record, cfg, net)


def hits(net: nn.Layer, batches: Iterable) -> np.ndarray:
    """Whether ``net`` classifies each image right, bool [N]; RuntimeError if its outputs are not finite."""
    found = []
    with paddle.no_grad(), fixed_seed(SEED):
        for images, labels in batches:
            logits = net(images)
            if not bool(logits.isfinite().all()):
                raise RuntimeError("the outputs of the network are not finite: its training went astray")
            found.append((logits.argmax(1) == labels.flatten()).numpy())
    return np.concatenate(found)


def read_curve(log: Path) -> list[float]:
    """Top-1 after each epoch of a run's log; where an epoch was done again after a stop, the last one counts."""
    found = {int(epoch): float(top1) for epoch, top1 in EVALUATED.findall(log.read_text(encoding="utf-8"))}
    return [found[epoch] for epoch in sorted(found)]
