"""Figures in one style."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .files import replacing
from .optional import require

# Okabe and Ito's palette, which the colour-blind can tell apart
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
BLACK, DARK, GREY, LIGHT = "#222222", "#555555", "#999999", "#D0D0D0"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": BLACK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "legend.frameon": False,
    "xtick.color": DARK,
    "ytick.color": DARK,
}


@contextmanager
def sheet(path: Path, figsize: tuple[float, float] | None = None, footnote: str = "", **layout: Any) -> Iterator[Any]:
    """Axes on a white sheet that is saved as ``path``; a program's own figures are left alone.

    Args:
        figsize: in inches.
        footnote: a line below everything, such as what the times were measured on.
        layout: of `matplotlib.figure.Figure.subplots`.

    Raises:
        RuntimeError: matplotlib is not installed.
        ValueError: ``path`` ends in no kind of picture.
    """
    require("matplotlib", "benchmark")
    import matplotlib  # here, because only a figure needs it
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize, layout="constrained")
        if path.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
            raise ValueError(f"{path} is no name of a picture: give a file that ends in .png, .jpg, .pdf or .svg")
        if footnote:
            figure.supxlabel(footnote, fontsize=8, color=DARK)
        yield figure.subplots(**layout)
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150)
