"""Where the layers of a network stand, and which of them the user has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from paddle import nn

from ..layers import METHODS, Conv2D, DDFUpsample2D, OctConvBNAct, SampledBasicBlock
from ..registry import did_you_mean

METHOD_LAYERS = (
    *({METHODS.get(name).layer for name in METHODS.list()} - {Conv2D}),
    DDFUpsample2D,
    OctConvBNAct,
    SampledBasicBlock,
)
"""Layers of the methods: what is inside them is theirs, and is not converted again."""


@dataclass(frozen=True)
class Site:
    """One layer of a network; a layer that several others hold has one site, under its first name."""

    name: str
    layer: nn.Layer
    holders: list[nn.Layer] = field(default_factory=list)

    def beside(self) -> list[nn.Layer]:
        """The other layers that its holders hold."""
        return [child for holder in self.holders for child in holder.children() if child is not self.layer]


def find_sites(net: nn.Layer) -> list[Site]:
    """Every layer of ``net`` once, in order, without the insides of the methods' own layers."""
    found: dict[int, Site] = {}

    def visit(layer: nn.Layer, name: str, holder: nn.Layer | None) -> None:
        site = found.get(id(layer))
        if site is None:
            site = found[id(layer)] = Site(name, layer)
            if not isinstance(layer, METHOD_LAYERS):
                for child_name, child in layer.named_children():
                    visit(child, f"{name}.{child_name}" if name else child_name, layer)
        if holder is not None:
            site.holders.append(holder)

    visit(net, "", None)
    return list(found.values())


class Chosen:
    """The layers whose names match one of the shell wildcards ``include`` and none of ``exclude``."""

    def __init__(self, include: str | Sequence[str], exclude: str | Sequence[str]) -> None:
        self.include, self.exclude = _patterns(include, "include"), _patterns(exclude, "exclude")

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError for a pattern that matches none of the ``names``: it is probably misspelt."""
        for argument, patterns in (("include", self.include), ("exclude", self.exclude)):
            for pattern in patterns:
                if names and not any(fnmatchcase(name, pattern) for name in names):
                    raise ValueError(
                        f"convert: {argument}='{pattern}' matches no layer.{did_you_mean(pattern, names)} "
                        f"There are: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
                    )

    def why_not(self, name: str) -> str | None:
        """The reason why the layer of this name is not chosen, None if it is."""
        if any(fnmatchcase(name, pattern) for pattern in self.exclude):
            return "excluded"
        return None if any(fnmatchcase(name, pattern) for pattern in self.include) else "not included"


def _patterns(given: str | Sequence[str], argument: str) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else given
    if not isinstance(patterns, (tuple, list)) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"convert: {argument} must be a wildcard or a list of them, got {given!r}")
    return tuple(patterns)
