"""Records as they would be after some runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.accuracy.record import Record


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """Return make(name, **changes)."""

    def make(name: str = "dense_seed0", **changes: object) -> Record:
        facts = {
            "command": "python tools/train.py -c a.yaml --resume -o Global.epochs=2",
            "began": "2026-01-02T03:04:05",
            "seconds": 600.0,
            "epochs": 2,
            "model": "resnet20",
            "arguments": {"in_channels": 1},
            "classes": 10,
            "input_shape": [1, 28, 28],
            "params": 272_186,
            "macs": 31_021_952,
            "density": None,
            "top1": 0.9,
            "samples": 10_000,
            "first": 1800,
            "curve": [0.85, 0.9],
            "cpu": "some processor",
            "version": "3.3.1",
        }
        return Record(name=name, **(facts | changes))

    return make


@pytest.fixture
def speed() -> dict:
    """What was measured of the dense network and one more."""
    dense = {"1": {"ms": 1.0, "of_dense": 1.0}, "64": {"ms": 0.5, "of_dense": 1.0}}
    octave = {"1": {"ms": 1.234, "of_dense": 1.23}, "64": {"ms": 0.301, "of_dense": 0.6}}
    return {
        "rows": {"dense": dense, "oct_50": octave},
        "machine": {"cpu": "some processor"},
        "threads": 2,
        "rounds": 30,
        "other_cores": 0.05,
        "version": "3.3.1",
        "date": "2026-01-02",
    }
