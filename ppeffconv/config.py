"""A run's configuration: YAML files that inherit from one another, command-line overrides, strict keys."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from .config_check import Tree, check, complete
from .utils.files import replacing


class Config(dict):
    """A checked configuration: a plain nested dict with every default filled in.

    Attributes:
        path: the file it was read from, if any.
        overridden: dotted keys that the command line set.
    """

    def __init__(self, tree: Tree, path: Path | None = None, overridden: Iterable[str] = ()) -> None:
        super().__init__(tree)
        self.path = path
        self.overridden = set(overridden)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file with its ``_base_`` files, apply ``KEY=VALUE`` overrides and check every key.

    ``_base_`` names one file or a list of them, relative to the file that names them. Mappings are merged key by key,
    in order, and the file itself wins; anything else, lists included, is replaced.

    Args:
        path: the YAML file.
        overrides: ``A.b.c=value`` each, with a YAML value: ``Optimizer.lr=0.1``, ``Metric.topk=[1, 3]``.

    Raises:
        FileNotFoundError: the file or one of its ``_base_`` files does not exist.
        ValueError: malformed YAML, a duplicate or unknown key, a missing key, a value of the wrong type or out of
            bounds. The message names the file (or the override) and the dotted key.
    """
    path = Path(path)
    tree = _read_with_bases(path, ())
    overridden: set[str] = set()
    for text in overrides:
        change = check(parse_override(text), f"-o {text}")
        merge(tree, change)
        overridden.update(_leaves(change))
    tree = complete(tree, str(path))
    tree["Global"]["name"] = tree["Global"]["name"] or path.stem
    return Config(tree, path, overridden)


def merge(base: Tree, change: Tree) -> Tree:
    """Merge ``change`` into ``base`` in place, mapping by mapping; anything but a mapping is replaced."""
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
    return base


def format_config(cfg: Config) -> str:
    """Return ``cfg`` as YAML that ``load_config`` reads back; what the command line set is marked ``# overridden``."""
    return "".join(_format(cfg, cfg.overridden, "", ""))


def save_config(cfg: Config, path: str | Path) -> None:
    """Write ``cfg`` to a YAML file; a file that was there stays whole if the writing fails."""
    with replacing(path) as temporary:
        temporary.write_text(format_config(cfg), encoding="utf-8")


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and reads 1e-4 as a number, as YAML 1.2 does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Tree:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue  # which SafeLoader refuses, with its line
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key.value}'", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes a text which _Loader would read as a number."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{source}{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # control characters; a date such as 2020-99-99
        raise ValueError(f"{source}: not valid YAML: {error}") from None


def _read_with_bases(path: Path, below: tuple[Path, ...]) -> Tree:
    """Read ``path`` on top of its bases; ``below`` is the chain of files that led here."""
    if not path.is_file():
        named_by = f" ({below[-1]} names it in _base_)" if below else ""
        raise FileNotFoundError(f"no configuration file {path}{named_by}")
    chain = (*below, path.resolve())
    if chain[-1] in below:
        raise ValueError(f"{path}: its _base_ leads back to itself: {' -> '.join(p.name for p in chain)}")
    try:
        own = _parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error.reason} at byte {error.start}") from None
    own = {} if own is None else own
    bases = own.pop("_base_", []) if isinstance(own, dict) else []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ValueError(f"{path}: _base_ must be a file name or a list of them, got {bases!r}")
    tree: Tree = {}
    for base in bases:
        merge(tree, _read_with_bases(path.parent / base, chain))
    return merge(tree, check(own, str(path)))


def parse_override(text: str) -> Tree:
    """Return ``A.b=value`` as a tree; ValueError if it is not of this form or its value is not YAML."""
    dotted, equals, value = text.partition("=")
    names = dotted.strip().split(".")
    if not equals or not all(names):
        raise ValueError(f"-o {text}: expected KEY=VALUE with a dotted key, such as Optimizer.lr=0.1")
    tree = _parse_yaml(value, f"-o {text}")
    for name in reversed(names):
        tree = {name: tree}
    return tree


def _leaves(tree: Tree, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _format(tree: Tree, overridden: set[str], prefix: str, indent: str) -> Iterator[str]:
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        name = indent + _inline(key)
        mark = "  # overridden" if dotted in overridden else ""
        if isinstance(value, dict) and value:
            yield f"{name}:\n"
            yield from _format(value, overridden, f"{dotted}.", indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{name}:{mark}\n"
            yield from (f"{indent}  - {_inline(item)}\n" for item in value)
        else:
            yield f"{name}: {_inline(value)}{mark}\n"


def _inline(value: Any) -> str:
    """Return ``value`` as YAML on one line: dumped as the only item of a list, whose brackets are dropped again."""
    options = {"default_flow_style": True, "width": 10**6, "allow_unicode": True, "sort_keys": False}
    return yaml.dump([value], Dumper=_Dumper, **options)[1:-2]
