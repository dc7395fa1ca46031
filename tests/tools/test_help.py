"""-h answers at once: no program imports Paddle for it. What is printed there is true."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from benchmarks.accuracy.documents import FOLDER
from ppeffconv.data.scenes import SceneSettings

from .conftest import TOOLS

ROOT = TOOLS.parent
ASK = """
import runpy, sys
for program in sys.argv[1:]:
    sys.argv = [program, "-h"]
    try:
        run = runpy.run_path if program.endswith(".py") else runpy.run_module
        run(program, run_name="__main__")
    except SystemExit as leaving:
        assert leaving.code == 0, program
    assert "paddle" not in sys.modules, program
"""
PROGRAMS = [*(str(path) for path in sorted(TOOLS.glob("*.py"))), "ppeffconv.ops", "ppeffconv.weights"]
PROGRAMS += ["ppeffconv.integrations.ppdet", "ppeffconv.integrations.ppseg"]


@pytest.fixture(scope="module")
def printed() -> str:
    command = [sys.executable, "-W", "ignore", "-c", ASK, *PROGRAMS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_program_imports_paddle_for_its_help(printed):
    assert printed.count("usage: ") == len(PROGRAMS)


def test_the_defaults_of_scenes(printed):
    scenes = SceneSettings()
    text = " ".join(printed.split())
    for flag, value in {
        "TRAIN": scenes.train,
        "VAL": scenes.val,
        "SEED": scenes.seed,
        "SIZE ...]": [scenes.height, scenes.width],
        "GARMENTS GARMENTS": [scenes.fewest, scenes.most],
    }.items():
        assert re.search(rf"--\w+ (\w+ )?\[?{re.escape(flag)} [^()]*\(default: {re.escape(str(value))}\)", text), flag


def test_the_folder_of_the_results():
    assert f'FOLDER = ROOT / "{FOLDER.split("/")[0]}" / "{FOLDER.split("/")[1]}"' in (TOOLS / "results.py").read_text()
