"""Check a configuration tree against the schema: unknown keys, wrong types, values out of bounds, missing keys."""

from __future__ import annotations

import copy
import difflib
import math
import os
from collections.abc import Iterator
from typing import Any

from .config_schema import REQUIRED, SCHEMA, Block, Field

Tree = dict[str, Any]
Kind = type | tuple[type, ...]
LARGEST = 2**63  # whole numbers stay below it, as in the C++ of Paddle
# what other programs call it -> the name here
ALIASES = {
    "base_lr": "lr",
    "batchsize": "batch_size",
    "classes": "num_classes",
    "decay": "weight_decay",
    "epoch": "epochs",
    "learning_rate": "lr",
    "lr_scheduler": "schedule",
    "max_epochs": "epochs",
    "pretrain_weights": "pretrained_model",
    "save_dir": "output_dir",
    "scheduler": "schedule",
    "wd": "weight_decay",
    "worker_num": "num_workers",
    "workers": "num_workers",
}


def check(tree: Any, source: str, block: Block = SCHEMA, prefix: str = "") -> Tree:
    """Return a copy of ``tree`` with its numbers in the declared type.

    Args:
        tree: a mapping that may hold only some of the keys.
        source: where it comes from (a file, an option): the start of every message.
        block: what it may hold.
        prefix: dotted name of ``tree`` itself, with a dot at its end.

    Raises:
        ValueError: for the first unknown key or unfit value, with its dotted key.
    """
    if not isinstance(tree, dict):
        raise ValueError(
            f"{source}: {prefix[:-1] or 'the file'} must be a mapping of keys to values, got {_show(tree)}"
        )
    checked: Tree = {}
    for key, value in tree.items():
        entry = block.entry(key)
        if entry is None:
            raise ValueError(_unknown_key(f"{prefix}{key}", value, source, block, prefix))
        if isinstance(entry, Block):
            checked[key] = check(value, source, entry, f"{prefix}{key}.")
        else:
            checked[key] = _check_value(value, entry, source, prefix + key)
    return checked


def complete(tree: Tree, source: str, block: Block = SCHEMA, prefix: str = "") -> Tree:
    """Return ``tree`` with every default filled in, in the order of the schema; ValueError for a missing key."""
    whole: Tree = {}
    for key, entry in block.fields.items():
        if isinstance(entry, Block):
            whole[key] = complete(tree.get(key, {}), source, entry, f"{prefix}{key}.")
        elif key in tree:
            whole[key] = tree[key]
        elif entry.default is REQUIRED:
            raise ValueError(f"{source}: {prefix}{key} is missing: it has no default, please set it")
        else:
            whole[key] = copy.deepcopy(entry.default)
    return whole | {key: value for key, value in tree.items() if key not in whole}


def dotted_keys(block: Block = SCHEMA, prefix: str = "") -> Iterator[str]:
    """Yield every declared key as ``A.b.c``, blocks included."""
    for name, entry in (block.fields | block.optional).items():
        yield prefix + name
        if isinstance(entry, Block):
            yield from dotted_keys(entry, f"{prefix}{name}.")


def fields(block: Block = SCHEMA, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield every declared value with its key, ``A.b.c``."""
    for name, entry in (block.fields | block.optional).items():
        if isinstance(entry, Block):
            yield from fields(entry, f"{prefix}{name}.")
        else:
            yield prefix + name, entry


def nearest_keys(dotted: str) -> list[str]:
    """Return the declared keys that ``dotted`` may have meant.

    They are those of the same name, or of the one that it has here, in other blocks; else the nearest spelling.
    """
    known = list(dotted_keys())
    parent, _, name = dotted.lower().rpartition(".")
    names = {name, ALIASES.get(name, name)}
    elsewhere = [key for key in known if key.rpartition(".")[2].lower() in names]
    elsewhere.sort(key=lambda key: -difflib.SequenceMatcher(None, key.rpartition(".")[0].lower(), parent).ratio())
    return elsewhere[:2] or difflib.get_close_matches(dotted, known, n=1, cutoff=0.5)


def _unknown_key(dotted: str, value: Any, source: str, block: Block, prefix: str) -> str:
    while isinstance(value, dict) and len(value) == 1:  # report Optimiser.lr, not Optimiser
        key, value = next(iter(value.items()))
        dotted = f"{dotted}.{key}"
    near = nearest_keys(dotted)
    hint = f" Did you mean {' or '.join(repr(key) for key in near)}?" if near else ""
    return f"{source}: unknown key '{dotted}'.{hint} {prefix[:-1] or 'The top level'} takes: {', '.join(block.fields)}"


def _check_value(value: Any, entry: Field, source: str, dotted: str) -> Any:
    if value is None and entry.default is None:
        return None
    try:
        value = _convert(value, entry.kind)
        if entry.item is not None and isinstance(value, list):
            value = [_convert(item, entry.item) for item in value]
    except TypeError:
        each = f", each item {_describe(entry.item)}" if entry.item is not None else ""
        hint = ": put it in quotes" if entry.kind is str and isinstance(value, (bool, int, float)) else ""
        raise ValueError(
            f"{source}: {dotted} must be {_describe(entry.kind)}{each}, got {_show(value)}{hint}"
        ) from None
    if entry.path and isinstance(value, str):
        value = os.path.expanduser(value)
    if entry.rule is not None and not entry.rule.holds(value):
        raise ValueError(f"{source}: {dotted} must be {entry.rule.text}, got {_show(value)}")
    return value


def _convert(value: Any, kind: Kind) -> Any:
    """Return ``value`` as ``kind``; TypeError if it is of another type.

    A whole number passes for a float. A boolean never passes for a number: YAML reads ``yes`` and ``on`` as booleans.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if object in kinds or type(value) in kinds:
        unfit = (type(value) is float and not math.isfinite(value)) or (type(value) is int and abs(value) >= LARGEST)
        if unfit and object not in kinds:
            raise TypeError
        return value
    if float in kinds and type(value) is int and abs(value) < LARGEST:
        return float(value)
    raise TypeError


def _describe(kind: Kind) -> str:
    names = {int: "a whole number below 2^63", float: "a number", bool: "true or false", str: "a text", list: "a list"}
    names |= {dict: "a mapping"}
    return " or ".join(names[k] for k in (kind if isinstance(kind, tuple) else (kind,)))


def _show(value: Any) -> str:
    return "nothing (null)" if value is None else f"{value!r} ({type(value).__name__})"
