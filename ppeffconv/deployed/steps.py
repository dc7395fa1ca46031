"""One step of a program: which ops there are, which keys each takes, and how they read and write as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..registry import did_you_mean

ACTIVATIONS = ("none", "relu", "relu6", "hardswish", "hardsigmoid", "sigmoid", "swish")
REQUIRED = object()


class Key(NamedTuple):
    """What a key holds.

    ``kind`` is map, maps (names of feature maps), weight (an index), pair (height, width), int, float or word. A key
    at its default is not written; None stands for a key that is not there.
    """

    kind: str
    default: Any = REQUIRED
    words: tuple[str, ...] = ()


ACT = {"act": Key("word", "none", ACTIVATIONS)}
ADD = {"add": Key("map", None)}
WINDOW = {"stride": Key("pair", (1, 1)), "padding": Key("pair", (0, 0)), "dilation": Key("pair", (1, 1))}
GROUPS = {"groups": Key("int", 1)}
IN, INS, WEIGHT, MAYBE, INT, FLOAT = (
    Key("map"),
    Key("maps"),
    Key("weight"),
    Key("weight", None),
    Key("int"),
    Key("float"),
)

OPS: dict[str, dict[str, Key]] = {
    "conv": {"in": INS, "weight": WEIGHT, "bias": MAYBE, **WINDOW, **GROUPS, **ACT, **ADD}
    | {"up": Key("map", None), "mask": Key("map", None)},
    "pool": {"in": IN, "kind": Key("word", REQUIRED, ("max", "avg")), "kernel": Key("pair"), "stride": Key("pair")}
    | {"padding": Key("pair", (0, 0)), "ceil": INT},
    "adaptive": {"in": IN, "size": Key("pair")},
    "mean": {"in": IN},
    "upsample": {"in": IN, "like": Key("map", None)},
    "resize": {"in": IN, "scale": FLOAT},
    "concat": {"in": INS},
    "slice": {"in": IN, "first": INT, "count": INT},
    "add": {"in": INS, **ACT},
    "mul": {"in": INS, **ACT},
    "affine": {"in": IN, "scale": WEIGHT, "shift": WEIGHT, **ACT, **ADD},
    "act": {"in": IN, **ACT},
    "nested": {"in": IN, "weight": WEIGHT, "scale": WEIGHT, "shift": WEIGHT, **WINDOW, **GROUPS}
    | {"delta": INT, "g": INT, "mode": Key("word", REQUIRED, ("paper", "reference")), **ACT, **ADD},
    "sp": {"in": IN, "grouped": WEIGHT, "pointwise": WEIGHT, "redundant": WEIGHT}
    | {"shift3": WEIGHT, "shift1": WEIGHT, "gate": WEIGHT}
    | {"stride": Key("pair", (1, 1)), "dilation": Key("pair", (1, 1)), **GROUPS, **ACT, **ADD},
    "filters": {"in": IN, "std": WEIGHT, "taps": INT},
    "ddf": {"in": IN, "channel": IN, "spatial": IN, "scale": WEIGHT, "shift": WEIGHT}
    | {"kernel": INT, "stride": INT, "dilation": INT, "heads": INT, "mode": Key("word", REQUIRED, ("mul", "add"))}
    | {"gain": FLOAT, "up": INT, **ACT, **ADD},
    "mask": {"in": IN, "weight": WEIGHT, "bias": WEIGHT, **WINDOW, "grid": INT, "noise": INT, "stream": INT},
    "fill": {"in": IN, "mask": IN, "table": MAYBE, "shift": MAYBE, **ADD, **ACT},
}


@dataclass(frozen=True)
class Step:
    """``out = op(keys)``; ``step["stride"]`` is the key, or its default.

    Attributes:
        op, out: what runs, and the name of the map that it makes.
        keys: those that are not at their defaults.
        label: the layer that it came from; not part of the text.
    """

    op: str
    out: str
    keys: Mapping[str, Any]
    label: str = field(default="", compare=False)

    def __getitem__(self, key: str) -> Any:
        return self.keys.get(key, OPS[self.op][key].default)

    def _of_kind(self, *kinds: str) -> list[Any]:
        return [value for key, value in self.keys.items() if OPS[self.op][key].kind in kinds]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the maps that it reads."""
        found = self._of_kind("map", "maps")
        return tuple(name for value in found for name in ((value,) if isinstance(value, str) else value))

    @property
    def weights(self) -> tuple[int, ...]:
        """Numbers of the weights that it reads."""
        return tuple(self._of_kind("weight"))

    def __str__(self) -> str:
        written = (f"{key}={_write(self.keys[key])}" for key in OPS[self.op] if key in self.keys)
        return " ".join((self.op, self.out, *written))


def make_step(op: str, out: str, label: str = "", **keys: Any) -> Step:
    """A step without the keys that are at their defaults; ``in_`` stands for the key ``in``."""
    keys = {key.rstrip("_"): value for key, value in keys.items()}
    return Step(
        op, out, {key: keys[key] for key in OPS[op] if key in keys and keys[key] != OPS[op][key].default}, label
    )


def parse_step(line: str) -> Step:
    """The step that a line of text describes.

    Raises:
        ValueError: an unknown op or key, a key that is missing, or a value that is none.
    """
    op, *tokens = line.split(" ")
    if op not in OPS:
        raise ValueError(f"unknown op '{op}'.{did_you_mean(op, OPS)} Known: {', '.join(OPS)}")
    if not tokens or "=" in tokens[0] or not tokens[0]:
        raise ValueError(f"'{op}' needs the name of its output, got '{line}'")
    keys: dict[str, Any] = {}
    for token in tokens[1:]:
        key, equals, value = token.partition("=")
        if key not in OPS[op] or not equals:
            raise ValueError(f"'{op}' has no key '{key}'.{did_you_mean(key, OPS[op])} It takes: {', '.join(OPS[op])}")
        if key in keys:
            raise ValueError(f"'{op}' has the key '{key}' twice")
        keys[key] = _read(op, key, value)
    missing = [key for key, entry in OPS[op].items() if entry.default is REQUIRED and key not in keys]
    if missing:
        raise ValueError(f"'{op}' needs the key '{missing[0]}'")
    return make_step(op, tokens[0], **keys)


def _write(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _pair(text: str) -> tuple[int, int]:
    height, width = text.split(",")
    return int(height), int(width)


_READERS: dict[str, Callable[[str], Any]] = {
    "map": str,
    "maps": lambda text: tuple(text.split(",")),
    "weight": int,
    "pair": _pair,
    "int": int,
    "float": float,
    "word": str,
}


def _read(op: str, key: str, text: str) -> Any:
    entry = OPS[op][key]
    try:
        value = _READERS[entry.kind](text)
    except ValueError:
        raise ValueError(f"'{op}': {key} must be of kind {entry.kind}, got '{text}'") from None
    if entry.words and value not in entry.words:
        raise ValueError(f"'{op}': {key} must be one of {', '.join(entry.words)}, got '{text}'")
    return value
