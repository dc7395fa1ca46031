"""What is missing is said before the work begins, in one line with the command that installs it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.accuracy.depth_pictures import draw as draw_depth
from benchmarks.accuracy.figures import draw as draw_results
from ppeffconv.engine.trained import draw_network
from ppeffconv.utils.optional import require

MISSING = r"^matplotlib is not installed: pip install 'ppeffconv\[benchmark\]'$"


def test_what_is_there():
    require("numpy", "cpu")


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: draw_results({}, {"rows": {}}, path),
        lambda path: draw_network({}, [], path),
        lambda path: draw_depth({}, [(np.zeros([4, 8, 8]), np.zeros([1, 8, 8]))], 4, path),
    ],
    ids=["results", "network", "depth"],
)
def test_without_matplotlib(draw, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RuntimeError, match=MISSING):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
