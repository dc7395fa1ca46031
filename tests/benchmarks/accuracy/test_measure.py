"""Milliseconds: every row gets its turns, and ratios are those of the same rounds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import measure as module
from benchmarks.accuracy.measure import measure, read_speed, write_speed
from ppeffconv import create_model
from ppeffconv.deployed import Deployed

IMAGES = np.random.default_rng(0).normal(size=(70, 1, 12, 12)).astype(np.float32)


@pytest.fixture
def clock(monkeypatch):
    """Every call of the dense network takes 2 ms and of the other 3, ten times as long in the second round."""
    calls = []

    def milliseconds(net, x):
        assert isinstance(net, Deployed)
        net(x)
        calls.append((net.program.weights[0].shape[0], len(x)))
        slow = 10 if len([c for c in calls if c[1] == len(x)]) > 2 * module.CALLS[len(x)] * (module.WARM_UP + 1) else 1
        return {4: 2.0, 8: 3.0}[calls[-1][0]] * slow

    def network(record):
        net = create_model("resnet20", num_classes=10, in_channels=1, width=4 if record.row == "dense" else 8)
        net.eval()
        return net

    monkeypatch.setattr(module, "_milliseconds", milliseconds)
    monkeypatch.setattr(module, "trained_network", network)
    monkeypatch.setattr(module, "is_published", lambda record: record.row != "het")
    return calls


def test_rows_take_turns(clock, make_record, tmp_path):
    records = {row: [make_record(f"{row}_seed0")] for row in ("dense", "sp_2", "het")}
    speed = measure(records, IMAGES, rounds=2)
    assert set(speed["rows"]) == {"dense", "sp_2"}
    assert speed["rows"]["dense"]["1"] == {"ms": 11.0, "of_dense": 1.0}
    assert speed["rows"]["sp_2"]["1"] == {"ms": 16.5, "of_dense": 1.5}
    assert speed["rows"]["sp_2"]["64"] == {"ms": round(16.5 / 64, 4), "of_dense": 1.5}
    widths = [width for width, batch in clock if batch == 64]
    assert widths == [4, 8, 8, 4, 4, 8, 8, 4]  # each round begins with another one
    write_speed(speed, tmp_path / "speed.json")
    assert read_speed(tmp_path / "speed.json") == speed
    assert read_speed(tmp_path / "none.json") == {"rows": {}}


def test_what_cannot_be_measured(clock, make_record):
    with pytest.raises(ValueError, match="at least 64 images and 1 round, got 3 and 30"):
        measure({"dense": [make_record()]}, IMAGES[:3])
    with pytest.raises(ValueError, match="the dense network has no published weights"):
        measure({"sp_2": [make_record("sp_2_seed0")]}, IMAGES)
