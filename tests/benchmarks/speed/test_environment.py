"""The peers' environment: made once, complete or made again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed import environment


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The commands that would be run; those with a word of ``failing`` fail."""
    ran, failing = [], []

    def run(command, **_):
        ran.append(command)
        environment.folder().mkdir(parents=True, exist_ok=True)
        if "--target" in command:
            Path(command[command.index("--target") + 1]).mkdir(parents=True, exist_ok=True)
        code = int(any(word in command for word in failing))
        return subprocess.CompletedProcess(command, code, "", "trace\nno space left" if code else "")

    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path))
    monkeypatch.setattr(environment.subprocess, "run", run)
    return ran, failing


def test_made_once(commands):
    ran, _ = commands
    assert environment.find_python() is None
    python = environment.peer_python()
    assert python == environment.find_python() == environment.folder() / "bin" / "python"
    assert [command[1:3] for command in ran] == [["-m", "venv"], ["-m", "pip"], ["-c", environment._IMPORTS]]
    assert ran[1][-len(environment.REQUIREMENTS) :] == list(environment.REQUIREMENTS)
    environment.peer_python()
    assert len(ran) == 3


def test_half_made_is_made_again(commands):
    _, failing = commands
    failing.append("pip")
    with pytest.raises(RuntimeError, match=r"could not be made: .*pip.*: no space left. Make one yourself"):
        environment.peer_python()
    assert environment.find_python() is None
    left = environment.folder() / "left"
    left.touch()
    failing.clear()
    environment.peer_python()
    assert not left.exists()
    assert environment.find_python() is not None


def test_bad_peer_python(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no interpreter at"):
        environment.peer_python(tmp_path / "python")
    lacking = tmp_path / "lacking"
    lacking.write_text(f"#!/bin/sh\nexec {sys.executable} -S -c 'import no_torch'\n")
    lacking.chmod(0o755)
    with pytest.raises(ValueError, match=r"cannot import a peer \(ModuleNotFoundError.*pip install torch==2.13.0"):
        environment.peer_python(Path(lacking))


def test_converter_is_made_once_unless_it_is_installed(commands, monkeypatch):
    ran, failing = commands
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    failing.append("--target")
    with pytest.raises(RuntimeError, match="for paddle2onnx could not be made"):
        environment.converter()
    failing.clear()
    folder = environment.converter()
    assert (ran[-1][-5], folder) == ("paddle2onnx==2.1.0", environment.converter())
    assert len(ran) == 2
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: name)
    assert environment.converter() == ""
