"""The rows of `benchmark.py busy`: what is lost beside another process that keeps one core busy, and its table.

Every contestant is measured on the quiet machine and beside that process, in the same rounds. On two cores a process
that loses no more than the share of time that is taken needs at most twice as long.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from .deploy_rows import NETWORKS, ONNXRUNTIME, OPENVINO, PADDLE, SIZE, inference
from .noise import BUSY
from .rows import OURS, Contestant, Row
from .session import Session
from .tables import NOISY, NONE, milliseconds
from .targets import Result, samples, times

INFERENCE, TRAINING = 1.6, 2.0  # times as long as on the quiet machine, at most
PYTORCH = "PyTorch"


@dataclass(frozen=True)
class LosesAtMost:
    """Beside a busy core ours takes at most ``limit`` times as long."""

    limit: float

    @property
    def text(self) -> str:
        """Such as "at most 1.6x as long"."""
        return f"at most {self.limit:g}x as long beside a busy core"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """How many times as long."""
        loss = slowdown(result, OURS)
        return None if loss is None else (times(loss), loss <= self.limit)


@dataclass(frozen=True)
class LosesLeast:
    """Beside a busy core no peer loses less."""

    text: str = "loses no more than the best peer"

    def judge(self, result: Result) -> tuple[str, bool] | None:
        """How many times as long ours and the best peer take."""
        ours = slowdown(result, OURS)
        peers = [loss for label in result["contestants"] if label != OURS and (loss := slowdown(result, label))]
        if ours is None or not peers:
            return None
        return f"{times(ours)} against {times(min(peers))}", ours <= min(peers)


def slowdown(result: Result, label: str) -> float | None:
    """How many times as long a contestant takes beside a busy core, the median of the rounds; None if not measured."""
    quiet, beside = samples(result, label), result["contestants"].get(label, {}).get("busy_ms", [])
    return statistics.median(beside) / statistics.median(quiet) if quiet and beside else None


def busy_rows() -> list[Row]:
    """Inference at batch 1, and a training step."""
    return [*map(_inference, ("resnet50", "oct_resnet50_50")), _training()]


def _inference(name: str) -> Row:
    contestants = inference(NETWORKS[name], 1, (OURS, OPENVINO, ONNXRUNTIME, PADDLE))
    work = f"{NETWORKS[name].title}, {SIZE}x{SIZE}, batch 1"
    return Row(name, work, contestants, (LosesAtMost(INFERENCE), LosesLeast()), turn=500, beside=True)


def _training() -> Row:
    job = {"job": "train", "network": "resnet18", "size": 64, "batch": 16, "classes": 1000}
    contestants = {OURS: Contestant(OURS, job), PYTORCH: Contestant("torch", job)}
    targets = (LosesAtMost(TRAINING), LosesLeast())
    return Row("train", "train step, resnet18, 64x64, batch 16", contestants, targets, ("parameters",), beside=True)


def summary(session: Session) -> str:
    """Times of every contestant on the quiet machine and beside a busy core, and what ours must reach."""
    lines = [
        "| work | contestant | quiet, ms | beside a busy core, ms | times as long | must reach | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in busy_rows():
        entry = session["rows"].get(row.name)
        for label in entry["contestants"] if entry else ():
            lines.append(f"| {row.work} | {label} | {_cells(entry, label)} | {_verdict(row, entry, label)} |")
    return "\n".join(lines)


def _cells(entry: dict[str, Any], label: str) -> str:
    loss = slowdown(entry, label)
    if loss is None:
        return f"fails | {NONE} | {NONE}"
    quiet, beside = (statistics.median(entry["contestants"][label][key]) for key in ("ms", "busy_ms"))
    return f"{milliseconds(quiet)} | {milliseconds(beside)} | {times(loss)}"


def _verdict(row: Row, entry: dict[str, Any], label: str) -> str:
    judged = [(target.text, target.judge(entry)) for target in row.targets] if label == OURS else []
    known = [(text, verdict[1]) for text, verdict in judged if verdict]
    if not known:
        return f"{NONE} | {NONE}"
    what = "; ".join(text for text, _ in known)
    if entry["other_cores"] > BUSY:
        return f"{what} | unsure {NOISY}"
    return f"{what} | {'; '.join('yes' if reached else '**no**' for _, reached in known)}"
