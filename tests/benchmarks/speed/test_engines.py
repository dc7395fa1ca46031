"""The real engines on tiny work: ours and stock Paddle, one round."""

from __future__ import annotations

import pytest

from benchmarks.speed.race import race
from benchmarks.speed.rows import Contestant
from benchmarks.speed.session import check
from benchmarks.speed.train_rows import train_rows


def test_training_step_of_both_engines():
    row = train_rows()[1]
    job = {**row.contestants["ours"].job, "size": 8, "batch": 2}
    contestants = {engine: Contestant(engine, job) for engine in ("ours", "stock")}
    result = race(contestants, rounds=1, threads=1, peer=None, pause=0)["contestants"]
    check(row, result)
    assert result["ours"]["parameters"] == 272_474
    assert result["ours"]["macs"] == 2 * 3 * 2_551_424
    assert result["ours"]["losses"][0] == pytest.approx(result["stock"]["losses"][0], rel=1e-4)
