"""What several keys of a configuration say together: contradictions, and settings that the run does not use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .config_schema import SCHEMA, Block, Field

Tree = dict[str, Any]

# keys, when they have no effect, and why
UNUSED: tuple[tuple[tuple[str, ...], Callable[[Tree], bool], str], ...] = (
    (
        ("Optimizer.schedule.milestones", "Optimizer.schedule.gamma"),
        lambda cfg: cfg["Optimizer"]["schedule"]["name"] != "Step",
        "only Optimizer.schedule.name=Step uses it",
    ),
    (
        ("Optimizer.schedule.min_lr",),
        lambda cfg: cfg["Optimizer"]["schedule"]["name"] != "Cosine",
        "only Optimizer.schedule.name=Cosine uses it",
    ),
    (
        ("Optimizer.momentum",),
        lambda cfg: cfg["Optimizer"]["name"] != "Momentum",
        "only Optimizer.name=Momentum uses it",
    ),
    (
        ("Loss.label_smoothing", "Metric.topk"),
        lambda cfg: cfg["Global"]["task"] != "classification",
        "only Global.task=classification uses it",
    ),
)


def check_together(cfg: Tree, source: str) -> None:
    """Raise ValueError, naming ``source``, where two values contradict each other."""
    schedule, lr = cfg["Optimizer"]["schedule"], cfg["Optimizer"]["lr"]
    if schedule["name"] == "Cosine" and schedule["min_lr"] > lr:
        raise ValueError(
            f"{source}: Optimizer.schedule.min_lr is {schedule['min_lr']:g} and Optimizer.lr {lr:g}: the rate falls "
            "from lr to min_lr, so min_lr must not be the larger one"
        )


def unused(cfg: Tree, samples: bool = True) -> Iterator[str]:
    """Yield, in words, each setting that was changed from its default and that this run does not use.

    Args:
        cfg: the whole configuration.
        samples: whether the network samples, and so has a temperature.
    """
    for key in ("Sampling.start_temperature", "Sampling.end_temperature"):
        if not samples and _value(cfg, key) != _default(key):
            yield f"{key}={_value(cfg, key)} has no effect: {cfg['Arch']['name']} does not sample"
    for keys, idle, reason in UNUSED:
        for key in keys:
            if idle(cfg) and _value(cfg, key) != _default(key):
                yield f"{key}={_value(cfg, key)} has no effect: {reason}"
    schedule, epochs = cfg["Optimizer"]["schedule"], cfg["Global"]["epochs"]
    if schedule["name"] == "Step":
        if not schedule["milestones"]:
            yield "Optimizer.schedule.name=Step has no milestones: the learning rate stays as it is"
        for epoch in (epoch for epoch in schedule["milestones"] if epoch >= epochs):
            yield f"Optimizer.schedule.milestones: step {epoch} is never reached in {epochs} epochs"
    if cfg["Global"]["save_interval"] > epochs:
        yield f"Global.save_interval={cfg['Global']['save_interval']} saves nothing in {epochs} epochs"


def _value(cfg: Tree, dotted: str) -> Any:
    for name in dotted.split("."):
        cfg = cfg[name]
    return cfg


def _default(dotted: str) -> Any:
    entry: Block | Field = SCHEMA
    for name in dotted.split("."):
        entry = entry.fields[name]
    return entry.default
