"""Programs of a few random steps, and what may be wrong with one: in its text, its weights or its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ppeffconv.deployed.steps import ACTIVATIONS, OPS

from ..programs import DTYPES, Draft
from .arguments import Spec, changed_tensor

Draw = Callable[[st.SearchStrategy], Any]
WIDTHS = st.sampled_from((1, 2, 3, 5, 16, 17, 33, 48))
SIDES = st.one_of(st.integers(1, 7), st.integers(1, 20))
ACTS = st.sampled_from(ACTIVATIONS)
# none between these, because memory that is asked for may be there
NUMBERS = ("-1", "0", "1", "2", "3", "5", "17", "0.5", "2147483648", str(2**63), "1e99", "nan", "", "x", "1,1")


@dataclass(frozen=True)
class Case:
    """A call of `ops.deployed`; it prints as what repeats it."""

    text: str
    weights: tuple[Spec, ...]
    x: Spec


class Growth:
    """Adds random steps to a draft."""

    def __init__(self, draw: Draw, net: Draft) -> None:
        self.draw, self.net = draw, net
        self.maps, self.masks = ["x"], []

    def grow(self) -> None:
        """One more step, or none if the maps are too small for it."""
        try:
            name = self.draw(st.sampled_from(STEPS))(self, self.any(self.maps))
        except ValueError:
            return
        (self.masks if self.net.steps[-1].op == "mask" else self.maps).append(name)

    def any(self, options: Sequence[Any]) -> Any:
        if len(options) == 0:
            raise ValueError("there is none")
        return self.draw(st.sampled_from(options))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.any(range(low, high + 1)), self.any(range(low, high + 1))

    def like(self, name: str, channels: bool = True, among: Sequence[str] = ()) -> list[str]:
        """Maps, or others, of the same size, and of as many channels."""
        shape, shapes = self.net.shapes[name], self.net.shapes
        found = [n for n in among or self.maps if shapes[n].size == shape.size]
        return [n for n in found if not channels or shapes[n].channels == shape.channels]

    def groups(self, channels: int) -> int:
        return self.any([g for g in (1, 2, 3, 5, 17) if channels % g == 0])

    def window(self) -> dict[str, tuple[int, int]]:
        return {"stride": self.pair(1, 3), "padding": self.pair(0, 3), "dilation": self.pair(1, 2)}

    def added(self, out: str) -> dict[str, Any]:
        """What is added to a map of the shape of ``out``."""
        return {"act": self.draw(ACTS), "add": self.any([None, *self.like(out)])}

    def conv(self, name: str) -> str:
        groups = self.groups(self.net.width(name))
        others = () if groups > 1 else self.any([(), self.like(name, channels=False)[:2]])
        keys = {**self.window(), "bias": self.any((True, False)), "act": self.draw(ACTS)}
        return self.net.conv((name, *others), groups * self.any((1, 3, 16)), self.pair(1, 4), groups, **keys)

    def same_conv(self, name: str) -> str:
        """A 3x3 or 1x1 one that keeps the size, whose sums are added to, or that a mask leaves out."""
        target, side = self.any(self.like(name, channels=False)), self.any((1, 3))
        masks, low = self.like(name, False, self.masks) if self.masks else [], None
        keys: dict[str, Any] = {"padding": (side // 2, side // 2)}
        if masks and self.any((True, True, False)):
            return self.net.conv(name, self.draw(WIDTHS), (side, side), mask=self.any(masks), act="relu", **keys)
        if self.any((True, False)):
            low = self.net.step("pool", target, kind="avg", kernel=(2, 2), stride=(2, 2), ceil=1)
        return self.net.conv(name, self.net.width(target), (side, side), up=low, **keys, **self.added(target))

    def pool(self, name: str) -> str:
        side, kind, ceil = self.any((1, 2, 3)), self.any(("max", "avg")), self.any((0, 1))
        stride, pad = self.any((1, min(side, 2))), (side - 1) // 2  # no window lies in the padding alone
        keys = {"kernel": (side, side), "stride": (stride, stride), "padding": (pad, pad)}
        return self.net.step("pool", name, kind=kind, ceil=ceil, **keys)

    def factors(self, name: str) -> str:
        others = self.like(name) + [n for n in self.like(name, channels=False) if self.net.width(n) == 1]
        if self.any((True, False)):
            others = [self.net.step("mean", name)]
        return self.net.step("mul", (name, self.any(others)), act=self.draw(ACTS))

    def affine(self, name: str) -> str:
        return self.net.affine(name, **self.added(name))

    def slice(self, name: str) -> str:
        first = self.any(range(self.net.width(name)))
        return self.net.step("slice", name, first=first, count=self.any(range(1, self.net.width(name) - first + 1)))

    def nested(self, name: str) -> str:
        groups, width = self.groups(self.net.width(name)), self.net.width(name)
        delta = 0 if groups > 1 else self.any(range(min(width, 5)))
        keys = {"delta": delta, "g": 1, "mode": self.any(("paper", "reference")), **self.window()}
        filters = groups * self.any((1, 3, 16))
        return self.net.nested(name, filters, self.pair(1, 5), groups, self.any(range(filters)), **keys)

    def sp(self, name: str) -> str:
        heavy = self.any(range(1, self.net.width(name)))
        groups, stride = self.groups(heavy), self.any((1, 2))
        out = groups * self.any((1, 3, 16))
        return self.net.sp(name, out, heavy, groups, stride=(stride, stride), dilation=self.pair(1, 2))

    def ddf(self, name: str) -> str:
        up, width = self.any((1, 1, 2)), self.net.width(name)
        keys = {"kernel": self.any((1, 3, 5)), "up": up, "stride": 1 if up > 1 else self.any((1, 2))}
        keys |= {"dilation": self.any((1, 2)), "heads": self.groups(width), "mode": self.any(("mul", "add"))}
        return self.net.ddf(name, **keys)

    def mask(self, name: str) -> str:
        keys = {"stride": self.any(((1, 1), (2, 2))), "noise": self.any((0, 1)), "grid": self.any((0, 1, 5))}
        return self.net.mask(name, self.any(((3, 3), (1, 1), (1, 3))), self.any((0.0, -1.0, 2.0)), **keys)

    def fill(self, name: str) -> str:
        masks = self.like(name, False, self.masks) if self.masks else []
        window = self.any((1, 3, 5))
        table = self.any((None, np.abs(self.net.numbers(window, window))))
        return self.net.step("fill", name, mask=self.any(masks), table=table, **self.added(name))


STEPS: tuple[Callable[[Growth, str], str], ...] = (
    *(Growth.conv, Growth.same_conv, Growth.same_conv, Growth.pool, Growth.factors, Growth.affine, Growth.slice),
    *(Growth.nested, Growth.sp, Growth.ddf, Growth.mask, Growth.mask, Growth.fill, Growth.fill),
    lambda grown, name: grown.net.step("adaptive", name, size=grown.pair(1, 9)),
    lambda grown, name: grown.net.step("mean", name),
    lambda grown, name: grown.net.step("upsample", name),
    lambda grown, name: grown.net.step("resize", name, scale=grown.any((0.5, 0.7, 1.6))),
    lambda grown, name: grown.net.step("concat", tuple(grown.like(name, channels=False)[:3])),
    lambda grown, name: grown.net.step("add", (name, grown.any(grown.like(name))), act=grown.draw(ACTS)),
    lambda grown, name: grown.net.step("act", name, act=grown.draw(ACTS)),
)


@st.composite
def valid_case(draw: Draw) -> Case:
    """A valid program, its weights, and images that are large enough."""
    size = draw(st.tuples(SIDES, SIDES))
    net = Draft(draw(WIDTHS), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 3)), size)
    grown = Growth(draw, net)
    for _ in range(draw(st.integers(1, 7))):
        grown.grow()
    if len(grown.maps) == 1:
        grown.maps.append(net.step("act", "x", act="relu"))
    outputs = dict.fromkeys(draw(st.lists(st.sampled_from(grown.maps[1:]), max_size=3)))
    program = net.program(*outputs, *() if grown.maps[-1] in outputs else grown.maps[-1:])
    weights = tuple(Spec(weight.shape, share=weight.ndim == 2) for weight in program.weights)  # a table is positive
    return Case(program.text, weights, Spec((draw(st.integers(0, 2)), program.channels, *size)))


@st.composite
def changed_case(draw: Draw, case: Case) -> Case:
    """Wrong in one or two places."""
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        what = draw(st.sampled_from(("text",) * 6 + ("weights", "weights", "x")))
        if what == "text":
            case = replace(case, text=draw(changed_text(case.text)))
        elif what == "x":
            case = replace(case, x=draw(changed_tensor(case.x)))
        elif case.weights:
            at = draw(st.integers(0, len(case.weights) - 1))
            other = () if draw(st.integers(0, 9)) == 0 else (draw(changed_tensor(case.weights[at])),)
            case = replace(case, weights=case.weights[:at] + other + case.weights[at + 1 :])
    return case


@st.composite
def changed_text(draw: Draw, text: str) -> str:
    """Without a piece, with one twice, with two exchanged, with another number or name, or cut off."""
    kind = draw(st.sampled_from(("number", "number", "name", "key", "tokens", "lines", "letter", "end")))
    if kind == "end":
        return text[: draw(st.integers(0, len(text)))]
    if kind == "letter":
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(st.sampled_from("v1-=, \n\0xé")) + text[at + draw(st.integers(0, 1)) :]
    if kind == "lines":
        return "\n".join(draw(changed_list(text.split("\n"))))
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines) - 1))
    tokens = lines[at].split(" ")
    if kind == "tokens":
        tokens = draw(changed_list(tokens))
    else:
        i = draw(st.integers(0, len(tokens) - 1))
        tokens[i] = draw(changed_token(tokens[i], kind))
    lines[at] = " ".join(tokens)
    return "\n".join(lines)


@st.composite
def changed_token(draw: Draw, token: str, kind: str) -> str:
    """``key=1,2`` with another key, or with another number or name in one place of its list."""
    key, equals, values = token.rpartition("=")
    if kind == "key":
        keys = sorted({key for keys in OPS.values() for key in keys} | set(OPS))
        return draw(st.sampled_from(keys)) + equals + values
    parts = values.split(",")
    i = draw(st.integers(0, len(parts) - 1))
    names = ("x", *(f"v{n}" for n in range(9)), "relu", "max", "paper", "reference", "add")
    parts[i] = draw(st.sampled_from(NUMBERS if kind == "number" else names))
    return key + equals + ",".join(parts)


@st.composite
def changed_list(draw: Draw, items: list[str]) -> list[str]:
    """One item less, one twice, or two exchanged."""
    first, second = (draw(st.integers(0, len(items) - 1)) for _ in range(2))
    items = list(items)
    what = draw(st.sampled_from(("less", "twice", "exchanged")))
    if what == "less":
        del items[first]
    elif what == "twice":
        items.insert(second, items[first])
    else:
        items[first], items[second] = items[second], items[first]
    return items
