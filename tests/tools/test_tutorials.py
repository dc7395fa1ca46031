"""The tutorials run from top to bottom, here in their short form; editors and notebooks read their cells."""

from __future__ import annotations

import re
import runpy
import sys

import pytest
from PIL import Image

from .conftest import TOOLS

TUTORIALS = TOOLS / "tutorials"
# the multiply-adds that each saves at least; in the short form masks have not learned to leave anything out
SAVED = {"octconv": 1.5, "spconv": 2.4, "versatile": 1.5, "ddf": 2.0, "sampling": 0.5}


@pytest.mark.parametrize("name", SAVED)
def test_runs(name, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PPEFFCONV_SHORT", "1")
    monkeypatch.setenv("PPEFFCONV_TUNE", "0")
    monkeypatch.setattr(sys, "path", [str(TUTORIALS), *sys.path])
    left = runpy.run_path(str(TUTORIALS / f"{name}.py"))
    printed = capsys.readouterr().out
    assert "equal to the formula" in printed
    assert float(re.search(r"difference to the training form: (\S+)", printed)[1]) < 1e-2
    trained = re.findall(r"trained on (\d) x", printed)
    assert trained == ["1", trained[-1], trained[-1]]  # both networks for as long after the conversion
    assert re.search(rf"accuracy after 1 \+ {trained[-1]} epochs each: dense \S+, converted \S+", printed)
    assert SAVED[name] < left["fewer_macs"] < 4
    assert left["speed_up"] > 0
    assert min(Image.open(f"output/tutorials/{name}.png").size) > 600


@pytest.mark.parametrize("name", SAVED)
def test_cells(name):
    """Jupyter (jupytext) and VS Code split a file at lines that begin with "# %%"."""
    text = (TUTORIALS / f"{name}.py").read_text(encoding="utf-8")
    first, *cells = re.split(r"^# %%", text, flags=re.M)
    assert first == ""
    prose = [cell for cell in cells if cell.startswith(" [markdown]\n")]
    assert len(prose) >= 6
    for cell in prose:
        assert all(line.startswith("#") for line in cell.splitlines()[1:] if line)
        assert ("**" in cell) >= ("## " in cell)  # each section has its line in Chinese


@pytest.mark.parametrize("name", SAVED)
def test_is_linked(name):
    card = (TOOLS.parent / "configs" / name / "README.md").read_text(encoding="utf-8")
    assert f"(../../tools/tutorials/{name}.py)" in card
