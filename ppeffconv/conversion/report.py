"""The report of a conversion: layer by layer what happened, and what it saves."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LayerReport:
    """What became of one layer.

    Attributes:
        was: the layer in the given network.
        became: its stand-in; None if it was kept, for the ``reason``.
        weights: "exact" (it computes what the dense layer does), "approximate" (it holds dense weights, or a fit to
            them, but computes something else) or "new" (freshly initialised).
        share: of the squared dense weights that are carried over, where that is not all of them.
        macs: multiply-adds per image before and after, where they were counted.
    """

    name: str
    was: str
    became: str | None
    weights: str | None
    reason: str
    share: float | None = None
    macs: tuple[int, int] | None = None


@dataclass(frozen=True)
class Conversion:
    """What `ppeffconv.convert` did to a network; printing it gives a table.

    Attributes:
        method: the method's name.
        layers: every layer that the method could have taken, in the order of the network.
        params: trainable numbers before and after.
        macs: multiply-adds of one image before and after, None if they could not be counted.
        input_shape: (C, H, W) of that image.
        meaning: what each kind of carried weights means for this method.
        notes: what else there is to know.
    """

    method: str
    layers: list[LayerReport] = field(repr=False)
    params: tuple[int, int]
    macs: tuple[int, int] | None
    input_shape: tuple[int, ...] | None
    meaning: dict[str, str] = field(repr=False)
    notes: list[str] = field(repr=False)

    @property
    def replaced(self) -> list[LayerReport]:
        """The layers that were replaced."""
        return [row for row in self.layers if row.became is not None]

    @property
    def kept(self) -> list[LayerReport]:
        """The layers that stayed as they were."""
        return [row for row in self.layers if row.became is None]

    def __str__(self) -> str:
        rows = [("layer", "was", "became", "weights", "MACs"), *map(_cells, self.layers)]
        widths = [max(len(row[column]) for row in rows if len(row) == 5) for column in range(4)]
        widths[:2] = (max(len(row[column]) for row in rows) for column in range(2))
        lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0])).rstrip() for row in rows]
        return "\n".join([*lines, "", *self._summary()])

    def _summary(self) -> list[str]:
        lines = [f"replaced    {len(self.replaced)} of {len(self.layers)} by {self.method}"]
        lines.append(f"parameters  {_change(*self.params, '{:,}'.format)}")
        if self.macs is not None:
            size = "x".join(map(str, self.input_shape))
            lines.append(f"MACs        {_change(*self.macs, millions)} for an input of {size}")
        counts = Counter(row.weights for row in self.replaced)
        lines += [f"weights     {kind} in {n}: {self.meaning[kind]}" for kind, n in counts.items()]
        lines += [f"note        {note}" for note in self.notes]
        return [textwrap.fill(line, 120, subsequent_indent=" " * 12) for line in lines]


def millions(macs: int) -> str:
    """1,234,567 -> "1.23 M"."""
    return f"{macs / 1e6:,.2f} M"


def _cells(row: LayerReport) -> tuple[str, ...]:
    name = row.name or "(itself)"
    if row.became is None:
        return name, row.was, f"kept: {row.reason}"
    weights = row.weights if row.share is None else f"{row.weights} {row.share:.2f}"
    return name, row.was, row.became, weights, "" if row.macs is None else " -> ".join(map(millions, row.macs))


def _change(before: int, after: int, show) -> str:
    return f"{show(before)} -> {show(after)} ({(after - before) / before:+.1%})"
