"""The rows of `benchmark.py train`: a training step of every network of the speed table."""

from __future__ import annotations

from .rows import OURS, Contestant, Row
from .targets import AtMost, TimesFaster

METHODS = ("", "oct_", "sp_", "versatile_", "ddf_", "sampled_")


def train_rows() -> list[Row]:
    """A step is forward, cross entropy, backward, SGD with momentum 0.9 and weight decay, and clearing gradients."""
    targets = (AtMost("torch", 0.9), TimesFaster("stock", 6))
    rows = [_row("resnet18", 64, 16, 1000, targets, (OURS, "torch", "stock", "stock-threads"))]
    rows += [_row(f"{method}resnet20", 32, 128, 10) for method in METHODS]
    return rows + [_row(f"{method}resnet50", 112, 8, 1000) for method in METHODS]


def _row(network: str, size: int, batch: int, classes: int, targets=None, engines=(OURS, "torch", "stock")) -> Row:
    job = {"job": "train", "network": network, "size": size, "batch": batch, "classes": classes}
    work = f"train step, {network}, {size}x{size}, batch {batch}"
    contestants = {engine: Contestant(engine, job) for engine in engines}
    return Row(network, work, contestants, targets or (AtMost("torch", 1.0),), agree=("parameters",))
