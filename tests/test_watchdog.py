"""A worker that dies, waits for ever or computes for ever ends the run with a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from . import watchdog

ROOT = Path(__file__).parents[1]
# a child that lives on holds the pipes on which xdist, and who reads its output, would hear of the end
KILLED = "if os.fork() == 0: time.sleep(300); os._exit(0)\n    os.kill(os.getpid(), signal.SIGKILL)"
WAITS = "threading.Event().wait()"


def run_tests(folder: Path, deed: str, *options: str) -> subprocess.CompletedProcess:
    (folder / "test_bad.py").write_text(f"import os, signal, threading, time\ndef test_bad():\n    {deed}\n")
    (folder / "test_fine.py").write_text("def test_fine(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.watchdog", "-p", "no:cacheprovider", *options]
    command += ["-n", "2", "--dist", "loadscope", "--max-worker-restart=0", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_worker_that_is_killed(tmp_path):
    done = run_tests(tmp_path, KILLED)
    assert done.returncode != 0
    assert "has ended with code -9: the run ends here" in done.stderr
    assert "test_bad.py::test_bad" in done.stdout  # who it was


def test_a_worker_that_waits(tmp_path):
    done = run_tests(tmp_path, WAITS, "--idle-limit=4")
    assert done.returncode != 0
    assert "has done nothing for 4 s: the run ends here" in done.stderr
    assert "in test_bad" in done.stderr  # the stack of the thread that waits


class Node(SimpleNamespace):
    __hash__ = object.__hash__


@contextmanager
def worker(code: str) -> Iterator[tuple[watchdog.Watchdog, Node]]:
    """A watchdog with limits of a second, and a process that it looks after."""
    process = subprocess.Popen([sys.executable, "-c", f"import subprocess, sys, time\n{code}"])
    node = Node(gateway=SimpleNamespace(_io=SimpleNamespace(popen=process), id="gw7"))
    limits = {"--idle-limit": 1.0, "--cpu-limit": 1.0}
    manager = SimpleNamespace(getplugin=lambda name: SimpleNamespace(_active_nodes={node}, shouldstop=False))
    try:
        yield watchdog.Watchdog(SimpleNamespace(pluginmanager=manager, getoption=limits.get)), node
    finally:
        watchdog.send(watchdog.family(process.pid), signal.SIGKILL)
        process.wait()


def first_trouble(dog: watchdog.Watchdog, node: Node) -> str:
    while not (found := dog.trouble(node)):
        time.sleep(0.05)
    return found


def test_what_a_child_computes_counts():
    with worker("subprocess.run([sys.executable, '-c', 'while True: pass'])") as (dog, node):
        dog.idle_limit = 1e9
        assert first_trouble(dog, node) == "has computed for more than 1 s of CPU in one test"


def test_a_stopped_process_does_nothing():
    with worker("while True: pass") as (dog, node):
        dog.cpu_limit = 1e9
        os.kill(node.gateway._io.popen.pid, signal.SIGSTOP)
        assert first_trouble(dog, node) == "has done nothing for 1 s"


def test_a_report_begins_the_limits_anew():
    with worker("while True: pass") as (dog, node):
        dog.idle_limit = 1e9
        first_trouble(dog, node)
        dog.pytest_runtest_logreport(SimpleNamespace(node=node))
        assert dog.trouble(node) == ""


def test_the_end_of_a_worker():
    with worker("sys.exit(3)") as (dog, node):
        node.gateway._io.popen.wait()
        assert dog.trouble(node) == "has ended with code 3"
    with worker("sys.exit(0)") as (dog, node):
        node.gateway._io.popen.wait()
        assert dog.trouble(node) == ""  # as at the end of every run
