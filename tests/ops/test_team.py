"""The engine's team of threads, as a program of its own: pieces, order, exceptions, forks and races."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ppeffconv.ops import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no compiler")
SOURCE = Path(__file__).with_name("team.cc")
FLAGS = ("-std=c++17", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror")


def compiled(folder: Path, *flags: str) -> Path | None:
    """The program, None if the compiler cannot make it so."""
    program = folder / "team"
    command = [build.compiler(), *FLAGS, *flags, f"-I{build.source_folder()}", str(SOURCE), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode and flags:
        return None
    assert result.returncode == 0, result.stderr
    return program


def run(program: Path, *arguments: object) -> None:
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("team"))


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_pieces_order_and_exceptions(program, threads):
    run(program, threads, 100)


def test_a_forked_child_makes_a_team_of_its_own(program):
    run(program, "fork")


@pytest.mark.parametrize("threads", [2, 5])
def test_without_races(tmp_path, threads):
    program = compiled(tmp_path, "-fsanitize=thread")
    works = program and subprocess.run([program, "1", "1"], capture_output=True, check=False).returncode == 0
    if not works:
        pytest.skip("ThreadSanitizer does not work here")
    run(program, threads, 30)
