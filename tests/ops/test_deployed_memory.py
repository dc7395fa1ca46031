"""Memory of `ops.deployed`: held programs stay packed, callers in turn share what they work in, and all has a limit."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from ppeffconv.ops.deployed import hold, limit_memory, memory, release

from .programs import Draft, Program, by_engine, compiled, everything, fingerprint, images

pytestmark = compiled
TASKS = 64 << 10  # most that plans of these programs take beside maps and scratch


class Owner:
    pass


@pytest.fixture(autouse=True)
def empty():
    """Nothing is kept from other tests, and the limit is as before afterwards."""
    gc.collect()  # layers of other tests, which hold programs
    before = memory().limit
    limit_memory(0)
    limit_memory(before)
    yield
    limit_memory(before)


def block(seed: int, width: int = 8) -> Program:
    net = Draft(3, seed=seed)
    net.conv(net.conv("x", width, (3, 3), act="relu", padding=(1, 1)), width, (3, 3), padding=(1, 1))
    return net.program()


def test_what_is_held_stays_packed():
    """However many there are, and with nothing kept beside."""
    limit_memory(0)
    owner, programs, x = Owner(), [block(seed) for seed in range(40)], images(1, 3, (9, 7))
    before = memory().packed
    for number, program in enumerate(programs, start=1):
        hold(owner, fingerprint(program))
        by_engine(program, x)
        if number == 1:
            one = memory().packed - before
        assert memory().packed - before == number * one > 0
    for program in programs:
        by_engine(program, x)
    assert memory().packed - before == len(programs) * one
    by_engine(block(99), x)  # held by nobody: it goes at once
    assert memory().packed - before == len(programs) * one
    del owner
    assert memory().packed == before


def test_programs_share_what_they_work_in():
    """Many programs over many sizes take what one takes at the largest, and their plans."""
    sizes = [(8 * i, 6 * i) for i in range(1, 11)]
    alone = block(0, 64)
    by_engine(alone, images(1, 3, sizes[-1]))
    one = memory().working
    programs = [block(seed, 64) for seed in range(12)]
    for size in sizes:
        for program in programs:
            by_engine(program, images(1, 3, size))
    assert memory().working <= one + len(programs) * len(sizes) * TASKS / 8
    assert memory().working < 2 * one


def test_the_limit():
    program, x = everything(), images(2, 3, (33, 18))
    expected = by_engine(program, x)
    for limit in (0, 1 << 20, 3 << 20, 1 << 30):
        limit_memory(limit)
        assert memory().kept <= limit
        for batch in (1, 2, 3):
            by_engine(block(batch), images(batch, 3, (65, 43)))
            got = by_engine(program, x)
            assert memory().kept <= memory().limit == limit
            assert all(np.array_equal(a, b) for a, b in zip(got, expected))
    for wrong in (-1, 1.5, None, "1G"):
        with pytest.raises(ValueError, match="must be an integer >= 0, in bytes, got"):
            limit_memory(wrong)


def test_the_least_recently_used_goes_first():
    first, second, x = block(1), block(2), images(1, 3, (9, 7))
    before = memory().packed
    by_engine(first, x)
    one, working = memory().packed - before, memory().working
    by_engine(second, x)
    plan = memory().working - working
    by_engine(first, x)
    limit_memory(memory().kept - plan - 1)
    assert memory().packed - before == one
    kept = memory()
    by_engine(first, x)
    assert memory() == kept  # it was the other one that went
    release(fingerprint(first))
    assert memory().packed == before


def test_callers_at_once_have_memory_of_their_own_and_leave_it():
    program, x = block(0, 32), images(1, 3, (65, 43))
    by_engine(program, x)
    one, start = memory().working, threading.Barrier(3)

    def work():
        start.wait(60)
        for _ in range(20):
            by_engine(program, x)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory().working <= 3 * one
    limit_memory(0)
    assert memory().working == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_others_left_there_does_not_count(dtype):
    """Every kind of step, after programs of the other type have filled the memory with what are no numbers."""
    program, x = everything(17, dtype), images(2, 3, (33, 18))
    expected = by_engine(program, x)
    for other in ("float32", "bfloat16"):
        for value in (np.nan, 3e38, -1e-3):
            by_engine(everything(48, other, seed=3), np.full((4, 3, 40, 40), value, "float32"))
            assert all(np.array_equal(a, b) for a, b in zip(by_engine(program, x), expected))


GROWTH = """
import resource
from tests.ops.test_deployed_memory import block, by_engine, images
programs = [block(seed, 64) for seed in range(24)]
sizes = [(16 * i, 16 * i) for i in range(1, 13)]
by_engine(programs[0], images(1, 3, sizes[-1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for size in sizes:
    for program in programs:
        by_engine(program, images(1, 3, size))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_process_stays_small_over_changing_sizes():
    """24 blocks over 12 sizes: memory for each of eight sizes of each block would be 2 GB."""
    run = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=300, check=True)
    assert int(run.stdout.splitlines()[-1]) < 300 << 10  # kilobytes
