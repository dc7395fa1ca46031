"""The toolkits' YAML, read as strictly as this package's own: files with their bases, and values of the right kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..config_check import Tree, check
from ..config_schema import ANYTHING, Block, Field
from ..config_yaml import Loader, read_yaml

Combine = Callable[[Tree, list[Tree]], Tree]


def read_with_bases(
    path: Path, base_key: str, combine: Combine, loader: type[Loader] = Loader, below: tuple[Path, ...] = ()
) -> Tree:
    """Read a YAML file on top of the files that it names under ``base_key``.

    Args:
        path: the file, .yml or .yaml.
        base_key: the toolkit's name for a list of bases, or one; relative to the file that names them.
        combine: (what a file says, what each of its bases gives) -> all of it, as the toolkit does it.
        loader: of YAML, with the toolkit's tags.
        below: the chain of files that led here.

    Raises:
        FileNotFoundError: the file or one of its bases does not exist.
        ValueError: malformed YAML, a key twice, no mapping, or a base that leads back to itself.
    """
    if not path.is_file():
        named_by = f" ({below[-1]} names it in {base_key})" if below else ""
        raise FileNotFoundError(f"no configuration file {path}{named_by}")
    if path.suffix not in (".yml", ".yaml"):
        raise ValueError(f"a configuration is a .yml or .yaml file, got {path}")
    if path.resolve() in [file.resolve() for file in below]:
        raise ValueError(f"{path}: its {base_key} leads back to itself")
    own = read_yaml(path, loader)
    if not isinstance(own, dict):
        raise ValueError(f"{path}: the file must be a mapping of keys to values, got {_shown(own)}")
    bases = own.pop(base_key, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ValueError(f"{path}: {base_key} must be a file name or a list of them, got {bases!r}")
    places = [path.parent / Path(base).expanduser() for base in bases]
    return combine(own, [read_with_bases(place, base_key, combine, loader, (*below, path)) for place in places])


def check_values(values: Mapping[str, Any], fields: Mapping[str, Field], source: str, name: str = "") -> Tree:
    """Return ``values``, those of the block ``name``, with what ``fields`` describe checked and numbers in their type.

    Raises:
        ValueError: a value of another kind or out of bounds; the message has its name, and what was got and expected.
    """
    return check(dict(values), source, Block(dict(fields), extra=ANYTHING), f"{name}." if name else "")


def check_like_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any], what: str) -> None:
    """Check the arguments of one of the toolkit's classes as far as their defaults tell what they may be.

    A default that is true or false wants one of them; a number no text and no truth value, but a list may do, as of
    sizes. Where the default is something else, the class itself has to judge.

    Raises:
        ValueError: such a value, with its name.
    """
    for name, value in values.items():
        default = defaults.get(name)
        if type(default) is bool and type(value) is not bool:
            raise ValueError(f"{what}.{name} must be true or false, got {_shown(value)}")
        if type(default) in (int, float) and (isinstance(value, (bool, str, dict)) or not _is_finite(value)):
            raise ValueError(f"{what}.{name} must be a number such as {default}, got {_shown(value)}")


def finite(value: Any) -> Any:
    """``value`` with None for every number that JSON has no form for, NaN and the infinities, at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value if _is_finite(value) else None


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: Any) -> str:
    return "nothing (null)" if value is None else f"{value!r} ({type(value).__name__})"
