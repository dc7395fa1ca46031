"""Contestants that take turns in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.speed import engines
from benchmarks.speed.engines import Worker
from benchmarks.speed.noise import BusyCore, OtherWork, _seconds
from benchmarks.speed.race import race
from benchmarks.speed.rows import Contestant


def sleeper(ms: float) -> Contestant:
    return Contestant("ours", {"job": "sleep", "ms": ms})


def test_race_measures_each(fake_engines):
    entry = race({"ours": sleeper(2), "slow": sleeper(8)}, rounds=2, threads=1, peer=None, pause=0)
    ours, slow = (entry["contestants"][label] for label in ("ours", "slow"))
    assert len(ours["ms"]) == len(slow["ms"]) == 2
    assert min(slow["ms"]) >= 8 > min(ours["ms"]) >= 2
    assert ours["parameters"] == 3
    assert ours["peak_mb"] > 1
    assert entry["other_cores"] >= 0


def test_race_beside_a_busy_core(fake_engines):
    entry = race({"ours": sleeper(2), "slow": sleeper(8)}, rounds=2, threads=1, peer=None, pause=0, beside=True)
    for label, least in (("ours", 2), ("slow", 8)):
        facts = entry["contestants"][label]
        assert len(facts["ms"]) == len(facts["busy_ms"]) == 2
        assert min(facts["busy_ms"]) >= least


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_busy_core_works_when_it_is_told_and_is_nobody_elses_work():
    with BusyCore() as busy:
        before = _seconds(busy.pid)
        time.sleep(0.1)
        assert _seconds(busy.pid) - before < 0.1
        with busy.working():
            deadline = time.monotonic() + 60
            while _seconds(busy.pid) - before < 0.2 and time.monotonic() < deadline:
                time.sleep(0.05)
        assert _seconds(busy.pid) - before >= 0.2
        pid = busy.pid
    assert not Path(f"/proc/{pid}").exists()


def test_missing_op_takes_no_part(fake_engines):
    contestants = {"ours": Contestant("ours", {"job": "absent"}), "slow": sleeper(1)}
    entry = race(contestants, rounds=1, threads=1, peer=None, pause=0)
    assert entry["contestants"]["ours"] == {"engine": "ours", "missing": "ops.absent"}
    assert len(entry["contestants"]["slow"]["ms"]) == 1


def test_engine_that_may_fail_is_left_out(fake_engines):
    contestants = {"ours": sleeper(1), "peer": Contestant("openvino", {"job": "crash"}, may_fail=True)}
    entry = race(contestants, rounds=1, threads=1, peer=None, pause=0)
    assert entry["contestants"]["peer"] == {"engine": "openvino", "missing": "RuntimeError: no such convolution"}
    assert len(entry["contestants"]["ours"]["ms"]) == 1
    with pytest.raises(RuntimeError, match="no such convolution"):
        race({"ours": Contestant("ours", {"job": "crash"})}, rounds=1, threads=1, peer=None, pause=0)


def test_patience_ends(fake_engines):
    with Worker("ours", 1, patience=0.5) as worker, pytest.raises(RuntimeError, match=r"no answer in 0.5 s"):
        worker.ask("prepare", job="hang")


def test_worker_that_hangs_on_its_way_out(fake_engines, monkeypatch):
    monkeypatch.setattr(engines, "GRACE", 0.2)
    with Worker("ours", 1) as worker, pytest.raises(RuntimeError, match="failed"):
        worker.ask("prepare", job="linger")


def test_failing_worker_says_why(fake_engines):
    with (
        Worker("ours", 1) as worker,
        pytest.raises(RuntimeError, match=r"'ours' failed \(prepare\)(.|\n)*no such conv"),
    ):
        worker.ask("prepare", job="crash")


def test_worker_that_is_gone(fake_engines):
    with Worker("ours", 1) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(RuntimeError, match="exit code -9"):
            worker.ask("run", steps=1)


def test_memory_growth(fake_engines):
    with Worker("ours", 1) as worker:
        worker.ask("prepare", job="array", megabytes=32)
        assert 30 < worker.ask("memory")["growth_mb"] < 40


def test_environment_of_an_engine(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PPEFFCONV_OPS", "reference")
    ours, stock, torch = (engines._environment(name, 2) for name in ("ours", "stock-threads", "torch"))
    assert not {"OMP_NUM_THREADS", "PPEFFCONV_OPS", "PPEFFCONV_TUNE"} & set(ours)
    assert (stock["PPEFFCONV_OPS"], stock["PPEFFCONV_TUNE"], stock["FLAGS_paddle_num_threads"]) == (
        "reference",
        "0",
        "2",
    )
    assert torch["PYTHONPATH"] == str(engines.HERE)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_other_work_counts_strangers_only():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        try:
            time.sleep(0.2)
            counted, known = OtherWork([]), OtherWork([spinning.pid])
            time.sleep(1)
            assert counted.cores() > known.cores() + 0.1
        finally:
            spinning.kill()
