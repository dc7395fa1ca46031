"""Folders of runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.runs import alone_in, find_resume, new_run


def test_no_run_is_overwritten(tmp_path):
    names = [new_run(tmp_path / "out", "a").name for _ in range(3)]
    assert names == ["a", "a-2", "a-3"]
    assert new_run(tmp_path / "out", "b").name == "b"


def test_auto_is_the_newest_run_of_that_name_with_a_checkpoint(tmp_path):
    for name in ("a", "a-2", "a-10", "a-11", "a-x", "ab", "a-3-4"):
        (tmp_path / name).mkdir()
    for name in ("a", "a-2", "a-10", "a-x", "ab", "a-3-4"):
        ck.save_checkpoint(tmp_path / name / "latest", {ck.STATES: {"epoch": 1}})
    assert find_resume("auto", tmp_path, "a") == tmp_path / "a-10" / "latest"
    assert find_resume("auto", tmp_path, "c") is None
    assert find_resume("auto", tmp_path / "none", "a") is None


def test_name_with_signs_that_mean_something_in_patterns(tmp_path):
    (tmp_path / "axb").mkdir()
    ck.save_checkpoint(tmp_path / "a.b[1]" / "latest", {ck.STATES: {"epoch": 1}})
    assert find_resume("auto", tmp_path, "a.b[1]") == tmp_path / "a.b[1]" / "latest"
    assert find_resume("auto", tmp_path, "a.b") is None


def test_run_or_checkpoint_by_name(tmp_path):
    ck.save_checkpoint(tmp_path / "a" / "latest", {ck.STATES: {"epoch": 1}})
    with pytest.raises(FileNotFoundError, match="cannot resume"):
        find_resume(tmp_path / "a", "out", "x")  # a folder, but no run
    (tmp_path / "a" / "config.yaml").touch()
    (tmp_path / "a" / "latest").rename(tmp_path / "a" / "latest.old")  # as a kill between two renames leaves it
    assert find_resume(tmp_path / "a", "out", "x") == tmp_path / "a" / "latest"
    assert find_resume(tmp_path / "a" / "latest", "out", "x") == tmp_path / "a" / "latest"
    with pytest.raises(FileNotFoundError, match="cannot resume"):
        find_resume(tmp_path, "out", "x")


def test_one_training_in_a_folder(tmp_path):
    with alone_in(tmp_path):
        code = "import sys; from pathlib import Path; from ppeffconv.engine.runs import alone_in\n"
        code += "with alone_in(Path(sys.argv[1])): pass"
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
        assert f"another process trains in {tmp_path}" in other.stderr
    with alone_in(tmp_path):
        pass
