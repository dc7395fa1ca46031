"""Work in other processes: in order, and nothing that ends a process leaves another one waiting."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

from ppeffconv.data import workers
from ppeffconv.data.workers import WorkerError, in_workers

TIMEOUT = 60
BEGIN = f"""
import importlib.util, os, sys, time
from itertools import count
spec = importlib.util.spec_from_file_location("workers", {str(Path(workers.__file__))!r})  # alone: Paddle takes seconds
sys.modules["workers"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["workers"])
from workers import in_workers
def work(item):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(0.02)
"""


def number(item: int) -> list:
    return [np.full((3, 2), item, np.float32).T, {"text": str(item), "large": np.arange(200_000) + item}, item]


def program(code: str) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-c", BEGIN + code], **pipes)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_order_and_can_be_written_to(processes, count):
    results = list(in_workers(number, range(count), processes))
    assert [result[2] for result in results] == list(range(count))
    for item, (array, mapping, _) in enumerate(results):
        np.testing.assert_array_equal(array, number(item)[0])
        assert mapping["text"] == str(item)
        np.testing.assert_array_equal(mapping["large"], np.arange(200_000) + item)
        array += 1
    assert not active_children()


def test_the_seed_of_an_item_does_not_depend_on_the_workers():
    draws = [list(in_workers(lambda _: np.random.rand(), range(5), processes, seed=3)) for processes in (1, 2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 5


@pytest.mark.parametrize(
    ("signum", "text"),
    [
        (signal.SIGKILL, "was killed by SIGKILL, most likely because memory was short"),
        (signal.SIGBUS, "was killed by SIGBUS, as on a full /dev/shm"),
        (signal.SIGXCPU, "was killed by SIGXCPU"),
    ],
)
def test_a_worker_that_is_killed_from_within(signum, text):
    def work(item: int) -> int:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)  # pytest's own handler prints where
        if item == 3:
            os.kill(os.getpid(), signum)
        return item

    results = in_workers(work, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WorkerError, match=rf"worker \(process \d+\) {text}.*num_workers.*--shm-size"):
        next(results)
    assert not active_children()


def test_a_worker_that_is_killed_from_outside_while_another_one_is_slow():
    results = in_workers(lambda item: time.sleep(1000 * (item == 2)), range(9), 2)
    next(results), next(results)
    os.kill(active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="was killed by SIGKILL"):
        next(results)
    assert not active_children()


def test_a_worker_killed_in_the_midst_of_a_result():
    results = in_workers(lambda item: np.zeros(5_000_000), range(2), 1)  # more than the pipe holds
    next(results)
    (process,) = active_children()
    time.sleep(0.1)
    process.kill()
    with pytest.raises(WorkerError, match="was killed by SIGKILL"):
        list(results)


def test_a_worker_that_leaves():
    with pytest.raises(WorkerError, match="has left with exit status 3"):
        list(in_workers(lambda item: os._exit(3), range(2), 2))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bad"), ValueError),
        (FileNotFoundError(2, "bad", "x"), FileNotFoundError),
        (PermissionError(13, "bad"), OSError),
        (RuntimeError("bad"), RuntimeError),
        (ZeroDivisionError("bad"), RuntimeError),
    ],
)
def test_an_exception_arrives_as_what_it_was(error, kind):
    def work(item: int) -> None:
        raise error

    with pytest.raises(kind, match="bad"):
        list(in_workers(work, range(4), 2))
    assert not active_children()


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "No space left on device", "/dev/shm/x")])
def test_no_room_left(error):
    def work(item: int) -> None:
        raise error

    with pytest.raises(WorkerError, match=r"has no room left .*num_workers.*--shm-size"):
        list(in_workers(work, range(4), 2))


def test_a_result_that_cannot_be_sent():
    with pytest.raises(RuntimeError, match="a data-loading worker has failed: .*lambda"):
        list(in_workers(lambda item: lambda: 1, range(2), 1))


def test_an_iterator_that_is_closed_ends_its_workers():
    results = in_workers(number, range(1000), 3)
    next(results)
    assert len(active_children()) == 3
    results.close()
    assert not active_children()


def test_a_limit_on_memory_of_a_worker():
    code = """
import resource
import numpy as np
def grow(item):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
    return np.ones(1 << 30)
for _ in in_workers(grow, range(4), 2): pass
"""
    out, _ = program(code).communicate(timeout=TIMEOUT)
    assert "WorkerError: a data-loading worker has no room left" in out


def test_a_program_that_leaves_an_iterator_open_ends():
    process = program("results = in_workers(work, count(), 2)\nnext(results)\nkept = [results]\nkept.append(kept)")
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_main_process(signum):
    process = program("for _ in in_workers(work, count(), 3): pass")
    pids = {int(process.stdout.readline()) for _ in range(12)}
    assert len(pids) == 3
    process.send_signal(signum)
    process.communicate(timeout=TIMEOUT)  # they hold its output open as long as they live
    deadline = time.monotonic() + TIMEOUT
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker has outlived the main process"
        time.sleep(0.01)
