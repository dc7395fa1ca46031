"""Milliseconds of the rows in deploy form, all in turns, so that what else the machine does meets them alike."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppeffconv.deployed import deploy
from ppeffconv.utils.files import replacing
from ppeffconv.utils.logger import get_logger
from ppeffconv.utils.machine import describe
from ppeffconv.utils.runtime import threads

from ..speed.noise import BUSY, OtherWork
from .publishing import is_published, trained_network
from .record import Record
from .rows import BASELINE

BATCHES = (1, 64)
CALLS = {1: 10, 64: 1}  # in a turn; a single image takes too little time for one
WARM_UP = 2  # rounds


def measure(records: Mapping[str, Sequence[Record]], images: np.ndarray, rounds: int = 30) -> dict[str, Any]:
    """Time the rows whose weights are published.

    A turn is the median of a few calls; a round gives every network one turn, beginning with another one each time.

    Args:
        records: see `read_records`.
        images: float32 [N, C, H, W], at least as many as the largest batch; each round takes others.

    Returns:
        "rows": by row and batch the milliseconds per image ("ms", the median over rounds) and, of the same rounds, the
        median ratio to the dense network ("of_dense"); and what they were measured on.

    Raises:
        ValueError: too few images, or the dense network has no published weights to compare with.
    """
    if len(images) < max(BATCHES) or rounds < 1:
        raise ValueError(f"expected at least {max(BATCHES)} images and 1 round, got {len(images)} and {rounds}")
    forms = {row: deploy(trained_network(of[0])) for row, of in records.items() if is_published(of[0])}
    if BASELINE not in forms:
        raise ValueError("the dense network has no published weights yet: train and collect it first")
    others = OtherWork([os.getpid()])
    times = {batch: _race(forms, images, batch, rounds) for batch in BATCHES}
    busy = round(others.cores(), 2)
    if busy > BUSY:
        get_logger().warning(f"others used {busy} cores meanwhile: these times are not to be trusted")
    return {
        "rows": {row: {str(batch): _summary(times[batch], row, batch) for batch in BATCHES} for row in forms},
        "machine": describe(),
        "threads": threads(),
        "rounds": rounds,
        "other_cores": busy,
        "version": paddle.__version__,
        "date": datetime.date.today().isoformat(),
    }


def _race(forms: Mapping[str, nn.Layer], images: np.ndarray, batch: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a call in each round."""
    times: dict[str, list[float]] = {row: [] for row in forms}
    names = list(forms)
    with paddle.no_grad():
        for turn in range(WARM_UP + rounds):
            first = turn * batch % (len(images) - batch + 1)
            x = paddle.to_tensor(images[first : first + batch])
            for i in range(len(names)):
                name = names[(i + turn) % len(names)]
                taken = median(_milliseconds(forms[name], x) for _ in range(CALLS[batch]))
                if turn >= WARM_UP:
                    times[name].append(taken)
    return times


def _milliseconds(net: nn.Layer, x: paddle.Tensor) -> float:
    begin = time.perf_counter()
    net(x)
    return 1000 * (time.perf_counter() - begin)


def _summary(times: Mapping[str, Sequence[float]], row: str, batch: int) -> dict[str, float]:
    ratio = median(own / dense for own, dense in zip(times[row], times[BASELINE]))
    return {"ms": round(median(times[row]) / batch, 4), "of_dense": round(ratio, 3)}


def write_speed(speed: Mapping[str, Any], path: Path) -> None:
    """Keep what `measure` returned."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(speed, indent=1) + "\n", encoding="utf-8")


def read_speed(path: Path) -> dict[str, Any]:
    """What `write_speed` kept; {"rows": {}} if nothing was measured yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": {}}
