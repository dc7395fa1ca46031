"""`ops.deployed` from several threads at once: what each gets is what it gets alone."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ppeffconv.ops.deployed as module
from ppeffconv.ops.deployed import limit_memory, memory, release

from .programs import by_engine, compiled, everything, fingerprint, images, threads

pytestmark = compiled
THREADS = 4
SIZES = [(7, 7), (13, 5), (33, 18), (1, 9)]


def together(works):
    """Runs functions at once, each in a thread."""
    start = threading.Barrier(len(works))

    def run(work):
        start.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def assert_same(got, expected):
    for y, exact in zip(got, expected, strict=True):
        np.testing.assert_array_equal(y, exact)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("networks", [1, THREADS])
def test_threads_with_one_network_or_with_many_at_several_sizes(networks, dtype):
    programs = [everything(17, dtype, seed) for seed in range(networks)]
    inputs = [images(batch, 3, size) for batch, size in enumerate(SIZES, start=1)]
    calls = [(program, x) for program in programs for x in inputs]
    expected = {id(x): {id(p): by_engine(p, x) for p in programs} for x in inputs}

    def work(seed):
        order = random.Random(seed).choices(calls, k=25)
        return [(id(x), id(program), by_engine(program, x)) for program, x in order]

    for results in together([lambda seed=seed: work(seed) for seed in range(THREADS)]):
        for x, program, got in results:
            assert_same(got, expected[x][program])


def test_the_first_call_of_all_at_once():
    """One of them packs the weights, and the others wait for it."""
    program, x = everything(), images(1, 3, (13, 5))
    for _ in range(5):
        expected = by_engine(program, x, "first")
        release("first")
        for got in together([lambda: by_engine(program, x, "first")] * THREADS):
            assert_same(got, expected)
        release("first")


def test_networks_are_released_and_displaced_while_they_run():
    """Whoever runs one keeps it; the registry holds fewer than are made here."""
    program, x = everything(), images(2, 3, (13, 5))
    expected = by_engine(program, x)
    others = [everything(seed=seed) for seed in range(1, 6)]

    def displace():
        for i in range(8):
            for other in others:
                by_engine(other, x, f"{fingerprint(other)} {i}")
            release(fingerprint(program))
        return expected

    for results in together([lambda: [by_engine(program, x) for _ in range(40)], lambda: [displace()]] * 2):
        for got in results:
            assert_same(got, expected)


def test_memory_is_taken_back_while_programs_run():
    """Programs of both types at several sizes, held and not, while packed weights and all memory are given back."""
    programs = [everything(width, dtype, width) for width in (5, 17) for dtype in ("float32", "bfloat16")]
    inputs = [images(batch, 3, size) for batch, size in enumerate(SIZES, start=1)]
    expected = {(i, j): by_engine(p, x) for i, p in enumerate(programs) for j, x in enumerate(inputs)}
    before, ended = memory().limit, threading.Event()

    def call(seed):
        order = random.Random(seed)
        for i, j in order.choices(list(expected), k=60):
            owner = _Owner()
            if order.random() < 0.3:
                module.hold(owner, fingerprint(programs[i]))
            assert_same(by_engine(programs[i], inputs[j]), expected[i, j])

    def disturb():
        order = random.Random(0)
        while not ended.is_set():
            limit_memory(order.choice((0, 1 << 20, 1 << 24, before)))
            release(fingerprint(order.choice(programs)))
        return []

    def calls():
        try:
            together([lambda seed=seed: call(seed) for seed in range(THREADS)])
        finally:
            ended.set()

    try:
        together([calls, disturb])
    finally:
        limit_memory(before)


def test_packed_weights_stay_while_somebody_holds_them(monkeypatch):
    released = []  # networks of other tests end here too
    monkeypatch.setattr(module, "release", lambda uid: released.append(uid) if uid == "held" else release(uid))
    owners = [_Owner(), _Owner()]
    for owner in owners:
        module.hold(owner, "held")
    del owner, owners[0]
    gc.collect()
    assert released == []
    owners.clear()
    gc.collect()
    assert released == ["held"]


@pytest.mark.parametrize("count", [2, 7])
def test_equal_bits_whoever_does_the_pieces(count):
    """A team on one core, whose threads get on by fits and starts, and beside others."""
    program, x = everything(), images(2, 3, (33, 18))
    with threads(1):
        expected = by_engine(program, x)

    def on_one_core():
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this thread, and of those that it starts
        with threads(count):
            return [by_engine(program, x) for _ in range(5)]

    for results in together([on_one_core] * 2):
        for got in results:
            assert_same(got, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_a_team_of_its_own():
    code = (
        "import os, sys, numpy as np, paddle\n"
        "from tests.ops.programs import by_engine, everything, images, threads\n"
        "program, x = everything(), images(1, 3, (13, 5))\n"
        "with threads(2):\n"
        "    expected = by_engine(program, x)\n"
        "child = os.fork()\n"
        "with threads(2):\n"
        "    same = all(map(np.array_equal, by_engine(program, x), expected))\n"
        "if child == 0:\n"
        "    sys.exit(0 if same else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or (0 if same else 4))\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-2000:]


class _Owner:
    pass
