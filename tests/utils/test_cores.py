"""How many threads: affinity, quota and OMP_NUM_THREADS, in processes of their own and in folders that look like /."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppeffconv.utils import cores

ROOT = Path(__file__).parents[2]
SEEN = "import ppeffconv, os; from ppeffconv.utils import cores, runtime; "
COUNT = SEEN + "runtime.tune(); print(cores.threads(), runtime.threads())"
affine = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")


def python(code: str, *before: str, **environment: str) -> str:
    """What a fresh process prints, without OMP_NUM_THREADS unless it is given."""
    kept = {name: value for name, value in os.environ.items() if name not in (cores.VARIABLE, "PADDLE_TRAINERS_NUM")}
    command = [*before, sys.executable, "-W", "ignore", "-c", code]
    environment = {**kept, "PYTHONPATH": str(ROOT), "PPEFFCONV_TUNE": "1", **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(("wanted", "count"), [("1", 1), ("3", 3), ("2,1", 2)])
def test_a_users_number_is_taken_whatever_it_is(wanted, count):
    assert python(COUNT, OMP_NUM_THREADS=wanted) == f"{count} {count}"


@pytest.mark.parametrize("first", ["", "import paddle; "])
def test_what_paddle_writes_is_no_users_number(first):
    assert python(first + COUNT) == f"{cores.physical_cores()} {cores.physical_cores()}"
    assert python(first + COUNT, OMP_NUM_THREADS="1") == "1 1"


def test_a_number_set_by_the_program_itself():
    assert python("import os; os.environ['OMP_NUM_THREADS'] = '1'; " + COUNT) == "1 1"
    assert python(SEEN + "os.environ['OMP_NUM_THREADS'] = '1'; print(cores.threads())") == "1"


def test_processes_started_from_here_get_what_the_user_set():
    child = "import os, subprocess, sys; print(subprocess.run([sys.executable, '-c', 'import os; "
    child += 'print(os.environ.get("OMP_NUM_THREADS"))\'], capture_output=True, text=True).stdout.strip())'
    assert python("import ppeffconv.ops; " + child) == "None"
    assert python("import ppeffconv.ops; " + child, OMP_NUM_THREADS="2") == "2"


def test_openmp_still_has_one_thread_for_those_who_do_not_tune():
    code = (
        "import ppeffconv.ops, ctypes, threading; from pathlib import Path; import paddle\n"
        "openmp = ctypes.CDLL(str(Path(paddle.__file__).parent / 'libs' / 'libiomp5.so'))\n"
        "other = threading.Thread(target=lambda: print(openmp.omp_get_max_threads()))\n"
        "other.start(); other.join(); print(openmp.omp_get_max_threads())"
    )
    assert python(code).split() == ["1", "1"]


@affine
def test_a_process_bound_to_one_core_computes_in_one_thread():
    bind = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert python(bind + COUNT) == "1 1"
    assert python(bind + COUNT, OMP_NUM_THREADS="2") == "2 2"


def test_processes_of_a_launch_share_the_cores_whatever_the_launcher_hands_on():
    assert python(COUNT, PADDLE_TRAINERS_NUM="64") == "1 1"
    launcher = (  # its own environment has no number, as Paddle's has none
        "import os, subprocess, sys; print(subprocess.run([sys.executable, '-W', 'ignore', '-c', sys.argv[1]], "
        "env={**os.environ, 'OMP_NUM_THREADS': '1', 'PADDLE_TRAINERS_NUM': '1'}, capture_output=True, "
        "text=True, check=True).stdout.strip())"
    )
    kept = {name: value for name, value in os.environ.items() if name != cores.VARIABLE}
    command = [sys.executable, "-c", launcher, COUNT]
    environment = {**kept, "PYTHONPATH": str(ROOT), "PPEFFCONV_TUNE": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(cores.physical_cores())] * 2


@pytest.fixture
def machine(tmp_path):
    """A function that writes /proc/self/cgroup and the files of control groups, and returns the folder."""

    def write(groups: str, **files: str) -> Path:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "sys" / "fs" / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return write


def test_quota_of_version_2(machine):
    root = machine("0::/user/me\n", **{"user/me/cpu.max": "150000 100000"})
    assert cores.quota(root) == 1.5


def test_quota_of_a_group_around(machine):
    files = {"user/me/cpu.max": "max 100000", "user/cpu.max": "50000 100000", "cpu.max": "200000 100000"}
    assert cores.quota(machine("0::/user/me\n", **files)) == 0.5


def test_quota_in_a_container_of_version_2(machine):
    assert cores.quota(machine("0::/\n", **{"cpu.max": "300000 100000"})) == 3


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1(machine, controllers):
    files = {f"{controllers}/me/cpu.cfs_quota_us": "150000", f"{controllers}/me/cpu.cfs_period_us": "100000"}
    assert cores.quota(machine(f"5:cpuset:/\n3:{controllers}:/me\n0::/\n", **files)) == 1.5


def test_quota_in_a_container_of_version_1(machine):
    """The path is the host's, and the group is mounted in its place."""
    files = {"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000"}
    assert cores.quota(machine("3:cpu,cpuacct:/docker/0123abc\n", **files)) == 0.25


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000"}),
        ("0::/\n", {"cpu.max": ""}),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "50000"}),
        ("9:cpuset:/me\n", {"cpuset/me/cpu.max": "50000 100000"}),
    ],
)
def test_no_quota(machine, groups, files):
    assert cores.quota(machine(groups, **files)) is None


@pytest.mark.parametrize(("limit", "count"), [(None, 8), (0.25, 1), (1.0, 1), (1.5, 2), (4.0, 4), (100.0, 8)])
def test_threads_under_a_quota(monkeypatch, limit, count):
    monkeypatch.delenv(cores.VARIABLE, raising=False)
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    monkeypatch.setattr(cores, "physical_cores", lambda: 8)
    monkeypatch.setattr(cores, "quota", lambda: limit)
    assert cores.threads() == count
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert cores.threads() == max(1, count // 2)


def test_under_a_real_quota():
    """In a group of version 1 that this test makes, where it may."""
    group = Path("/sys/fs/cgroup/cpu/ppeffconv_test_" + str(os.getpid()))
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("control groups cannot be made here")
    try:
        enter = f"from pathlib import Path; import os; Path('{group}/cgroup.procs').write_text(str(os.getpid())); "
        assert python(enter + COUNT) == "1 1"
    finally:
        group.rmdir()


def test_physical_cores():
    assert 1 <= cores.physical_cores() <= os.cpu_count()
