"""One sheet: saved whole, and nothing of a program's own figures changed."""

from __future__ import annotations

import pytest

from ppeffconv.utils.figures import sheet

matplotlib = pytest.importorskip("matplotlib")


def test_a_sheet_changes_nothing_else(tmp_path):
    before = dict(matplotlib.rcParams), matplotlib.get_backend()
    path = tmp_path / "new" / "x.png"
    with sheet(path, figsize=(2, 1), ncols=2) as axes:
        axes[0].plot([0, 1])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert (dict(matplotlib.rcParams), matplotlib.get_backend()) == before
    whole = path.read_bytes()
    with pytest.raises(ZeroDivisionError), sheet(path) as axes:
        axes.plot([1 / 0])
    assert path.read_bytes() == whole
    for name in ("folder", "x.xyz"):
        with pytest.raises(ValueError, match=f"{name} is no name of a picture.*png"), sheet(tmp_path / name):
            pass
