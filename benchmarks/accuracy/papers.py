"""Parameters and multiply-adds that the papers print, beside what this package counts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ppeffconv.models import create_model, profile
from ppeffconv.utils.markers import write_between

FIGURES, DOCUMENT, MARKER = "figures.yaml", "README.md", "papers"
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "MB": 2**20}
HEADER = (
    "| network | parameters: ours | theirs | difference | multiply-adds: ours | theirs | difference | source | note |"
)


@dataclass(frozen=True)
class Figure:
    """One row: a network, and what its source prints about it (see the head of the file of figures)."""

    model: str
    source: str
    arguments: dict[str, Any] = field(default_factory=dict)
    parameters: str | None = None
    macs: str | None = None
    flops: str | None = None
    table: int | None = None
    classes: int = 1000
    input: tuple[int, ...] = (3, 224, 224)
    tiles: int = 1
    note: str | None = None

    @property
    def label(self) -> str:
        """The network and the arguments that its figures depend on."""
        arguments = [f"{key} = {value}" for key, value in self.arguments.items() if key != "features_only"]
        tiles = [f"{self.tiles} tiles"] if self.tiles > 1 else []
        return ", ".join([f"`{self.model}`", *arguments, *tiles])


def read_figures(path: Path) -> tuple[list[Figure], Mapping[str, str], Mapping[str, str]]:
    """The rows of a file of figures, its notes and its sources by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a row with unknown keys, or one that names a note or a source that is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; the papers' figures are in configs/papers")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        rows = [Figure(**row) for row in content["rows"]]
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error
    for row in rows:
        if row.source not in content["sources"] or (row.note and row.note not in content["notes"]):
            raise ValueError(f"{path}: {row.model} names source {row.source!r} and note {row.note!r}; one is not there")
    return rows, content["notes"], content["sources"]


def count(row: Figure) -> tuple[float, float, float]:
    """Parameters, bytes of the weights (of convolutions and fully connected layers) and multiply-adds of a network.

    At 224x224 the multiply-adds follow from two small images: each layer's are proportional to the pixels, or, where it
    works on global means, constant.
    """
    classes = {} if row.arguments.get("features_only") else {"num_classes": row.classes}
    net = create_model(row.model, **classes, **row.arguments)
    weights = 4 * sum(p.size for name, p in net.named_parameters() if p.ndim > 1 or name.endswith("fc.bias"))
    if tuple(row.input) == (3, 224, 224):
        small, large = (profile(net, (3, side, side)) for side in (32, 64))
        pixels = (large.macs - small.macs) / 3
        return small.params, weights, small.macs + (7 * 7 - 1) * pixels
    counted = profile(net, (1, *row.input))
    return counted.params, weights, row.tiles * counted.macs


def render_row(row: Figure, notes: Sequence[str], sources: Mapping[str, str]) -> str:
    """The line of the table for one network, which is built and counted."""
    params, weights, macs = count(row)
    ours = weights if row.parameters and row.parameters.endswith("MB") else params
    cells = [
        row.label,
        *_compare(ours, row.parameters),
        *_compare(2 * macs if row.flops else macs, row.macs or row.flops),
    ]
    if row.flops:
        cells[4:6] = [f"{cell} (2 each)" for cell in cells[4:6]]
    source = sources[row.source] + (f", Table {row.table}" if row.table else "")
    return f"| {' | '.join([*cells, source, _number(row.note, notes)])} |"


def render(rows: Sequence[Figure], notes: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """The whole table, and its notes below it."""
    names = list(notes)
    lines = [HEADER, "|---" * (HEADER.count("|") - 1) + "|"]
    lines += [render_row(row, names, sources) for row in rows]
    return "\n".join(
        [*lines, "", *(f"{_number(name, names)} {text.strip()}\n" for name, text in notes.items())]
    ).rstrip()


def write(folder: Path) -> None:
    """Count all networks of the folder's file of figures, and put the table into its README."""
    write_between(folder / DOCUMENT, MARKER, render(*read_figures(folder / FIGURES)))


def _number(note: str | None, notes: Sequence[str]) -> str:
    return f"({notes.index(note) + 1})" if note else ""


def _compare(ours: float, theirs: str | None) -> tuple[str, str, str]:
    """Our value in their unit and to one digit more, theirs as printed, and how far ours is from it.

    "=" where theirs is ours, rounded or cut off: the sources do both.
    """
    if theirs is None:
        return "", "", ""
    match = re.fullmatch(r"(\d+(?:\.(\d+))?)(k|MB|M|G)", theirs)
    if match is None:
        raise ValueError(f"a figure must be a number with k, M, G or MB, got {theirs!r}")
    number, decimals, unit = float(match[1]), len(match[2] or ""), match[3]
    value = ours / UNITS[unit]
    agrees = number in (round(value, decimals), math.floor(value * 10**decimals) / 10**decimals)
    return (
        f"{value:.{decimals + 1}f} {unit}",
        f"{match[1]} {unit}",
        "=" if agrees else f"{100 * (value / number - 1):+.1f} %",
    )
