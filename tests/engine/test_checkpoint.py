"""A kill or a full disk at any instant of a save leaves a whole checkpoint that can be found."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppeffconv.engine import checkpoint as ck


class Killed(BaseException):
    """Stands for kill -9: no handler of the code under test may see it."""


def contents(value: int) -> dict:
    weights = {"w": paddle.full([50], float(value))}
    return {ck.PARAMS: weights, ck.OPTIMIZER: {"velocity": weights}, ck.STATES: {"epoch": value}}


def value_of(folder: Path) -> int:
    """Return the value that a checkpoint was made from; all its files must agree on it."""
    loaded = ck.load_checkpoint(folder)
    value = loaded[ck.STATES]["epoch"]
    for weights in (loaded[ck.PARAMS], loaded[ck.OPTIMIZER]["velocity"]):
        np.testing.assert_array_equal(weights["w"], np.full(50, value, "float32"))
    return value


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[str]:
    """Raise ``error`` at the ``number``-th operation on the disk; return the list of those that have begun."""
    begun: list[str] = []

    def wrap(name, function):
        def operation(*args, **kwargs):
            begun.append(name)
            if len(begun) - 1 == number:
                raise error
            return function(*args, **kwargs)

        return operation

    for module, name in ((os, "rename"), (os, "fsync"), (os, "mkdir"), (os, "unlink"), (os, "link"), (paddle, "save")):
        monkeypatch.setattr(module, name, wrap(name, getattr(module, name)))
    return begun


def save(folder: Path) -> None:
    ck.save_checkpoint(folder, contents(2))


def copy(folder: Path) -> None:
    ck.copy_checkpoint(folder.with_name("source"), folder)


@pytest.mark.parametrize("replace", [save, copy])
def test_killed_anywhere(tmp_path, monkeypatch, replace):
    ck.save_checkpoint(tmp_path / "source", contents(2))
    seen = set()
    for number in range(100):
        folder = tmp_path / str(number) / "latest"
        ck.save_checkpoint(folder, contents(1))
        shutil.copytree(tmp_path / "source", folder.with_name("source"))
        with monkeypatch.context() as patch:
            begun = stop_at(patch, number, Killed())
            try:
                replace(folder)
            except Killed:
                pass
            else:
                break
        seen.add((begun[-1], value_of(folder)))
        ck.save_checkpoint(folder, contents(3))
        assert value_of(folder) == 3
        assert sorted(path.name for path in folder.parent.iterdir()) == ["latest", "source"]
    else:
        pytest.fail("the save never came to its end")
    assert ("rename", 1) in seen
    assert any(value == 2 for _, value in seen), "no kill after the swap was tried"


def test_first_save_killed_leaves_nothing_to_find(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 2, Killed())
        with pytest.raises(Killed):
            save(tmp_path / "latest")
    assert ck.find_checkpoint(tmp_path / "latest") is None
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        ck.load_checkpoint(tmp_path / "latest")


def test_full_disk_anywhere(tmp_path, monkeypatch):
    failed = []
    for number in range(100):
        folder = tmp_path / str(number) / "latest"
        ck.save_checkpoint(folder, contents(1))
        with monkeypatch.context() as patch:
            begun = stop_at(patch, number, OSError(errno.ENOSPC, "No space left on device"))
            try:
                save(folder)
            except OSError:
                failed.append(begun[number])  # what follows it cleans up
            else:
                assert value_of(folder) == 2
            if number >= len(begun):
                break
        assert value_of(folder) in (1, 2)
        assert ".latest.partial" not in {path.name for path in folder.parent.iterdir()}
    assert {"save", "fsync", "rename"} <= set(failed)


def test_limit_on_file_size_is_a_full_disk(tmp_path):
    folder = tmp_path / "latest"
    ck.save_checkpoint(folder, contents(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            ck.save_checkpoint(folder, {**contents(2), ck.EMA: {"w": paddle.zeros([1000])}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert value_of(folder) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


CHILD = """
import os, signal, sys
sys.path.insert(0, {root!r})
from tests.engine.test_checkpoint import contents
from ppeffconv.engine import checkpoint as ck
folder = sys.argv[1]
ck.save_checkpoint(folder, contents(1))
rename, calls = os.rename, []
def kill_between(*args):
    if calls: os.kill(os.getpid(), signal.SIGKILL)
    calls.append(rename(*args))
os.rename = kill_between
ck.save_checkpoint(folder, contents(2))
"""


def test_really_killed_between_the_renames(tmp_path):
    root = str(Path(__file__).resolve().parents[2])
    folder = tmp_path / "latest"
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(root=root), str(folder)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert ck.find_checkpoint(folder) == tmp_path / "latest.old"
    assert value_of(folder) == 1


def test_copy_shares_the_files_and_survives_their_replacement(tmp_path):
    ck.save_checkpoint(tmp_path / "latest", contents(1))
    ck.copy_checkpoint(tmp_path / "latest", tmp_path / "best")
    assert (tmp_path / "best" / ck.PARAMS).stat().st_nlink == 2
    ck.save_checkpoint(tmp_path / "latest", contents(2))
    assert (value_of(tmp_path / "best"), value_of(tmp_path / "latest")) == (1, 2)


def test_copy_without_hard_links(tmp_path, monkeypatch):
    def no_links(*args):
        raise OSError(errno.EPERM, "Operation not permitted")

    ck.save_checkpoint(tmp_path / "latest", contents(1))
    monkeypatch.setattr(os, "link", no_links)
    ck.copy_checkpoint(tmp_path / "latest", tmp_path / "best")
    assert value_of(tmp_path / "best") == 1
    assert (tmp_path / "best" / ck.PARAMS).stat().st_nlink == 1


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\x80\x04"])
def test_damaged_file_is_named(tmp_path, damage):
    ck.save_checkpoint(tmp_path / "latest", contents(1))
    (tmp_path / "latest" / ck.OPTIMIZER).write_bytes(damage)
    with pytest.raises(RuntimeError, match=r"model\.pdopt: it is damaged"):
        ck.load_checkpoint(tmp_path / "latest")
