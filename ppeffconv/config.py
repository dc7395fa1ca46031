"""A run's configuration: YAML files that inherit from one another, command-line overrides, strict keys."""

from __future__ import annotations

import copy
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .config_check import Tree, check, complete
from .config_rules import check_together
from .config_yaml import inline, parse_yaml, read_yaml
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

    The modules of ``Global.custom_imports`` are imported, from the working directory or from where Python finds them,
    so that what they register can be named.

    Args:
        path: the YAML file.
        overrides: ``A.b.c=value`` each, with a YAML value: ``Optimizer.lr=0.1``, ``Metric.topk=[1, 3]``.

    Raises:
        FileNotFoundError: the file or one of its ``_base_`` files does not exist.
        ValueError: malformed YAML, a duplicate or unknown key, a missing key, a value of the wrong type or out of
            bounds, values that contradict each other, a module that cannot be imported. The message names the file (or
            the override) and the dotted key.
    """
    path = Path(path).expanduser()
    tree = _read_with_bases(path, ())
    overridden: set[str] = set()
    for text in overrides:
        change = check(parse_override(text), f"-o {text}")
        merge(tree, change)
        overridden.update(_leaves(change))
    tree = complete(tree, str(path))
    tree["Global"]["name"] = tree["Global"]["name"] or path.stem
    check_together(tree, str(path))
    import_modules(tree["Global"]["custom_imports"])
    return Config(tree, path, overridden)


def import_modules(names: Sequence[str]) -> None:
    """Import modules for what they register; ValueError if one is not there, or is no Python."""
    for name in names:
        if name in sys.modules:
            continue
        sys.path.insert(0, os.getcwd())
        try:
            importlib.import_module(name)
        except (ImportError, SyntaxError) as error:
            missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
            where = "in the working directory, in PYTHONPATH and among what is installed"
            sought = f". {missing} is looked for {where}" if missing else ""
            raise ValueError(f"Global.custom_imports: cannot import {name}: {error}{sought}") from None
        finally:
            sys.path.remove(os.getcwd())


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


def _read_with_bases(path: Path, below: tuple[Path, ...]) -> Tree:
    """Read ``path`` on top of its bases; ``below`` is the chain of files that led here."""
    if not path.is_file():
        named_by = f" ({below[-1]} names it in _base_)" if below else ""
        raise FileNotFoundError(f"no configuration file {path}{named_by}")
    chain = (*below, path.resolve())
    if chain[-1] in below:
        raise ValueError(f"{path}: its _base_ leads back to itself: {' -> '.join(p.name for p in chain)}")
    own = read_yaml(path)
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
    tree = parse_yaml(value, f"-o {text}", key=names[-1])
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
        name = indent + inline(key)
        mark = "  # overridden" if dotted in overridden else ""
        if isinstance(value, dict) and value:
            yield f"{name}:\n"
            yield from _format(value, overridden, f"{dotted}.", indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{name}:{mark}\n"
            yield from (f"{indent}  - {inline(item)}\n" for item in value)
        else:
            yield f"{name}: {inline(value)}{mark}\n"
