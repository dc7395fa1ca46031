"""Reading and writing YAML for the whole project: what was written is what is read, and a slip has its line.

PyYAML follows YAML 1.1, in which 010 is 8, 1:30 is 90, 2026-01-02 is a date, 1e-3 a text and `no` a boolean. Here
numbers are those of YAML 1.2, decimal, and all else is text, but for yes, no, on and off, which stay booleans because
the word would pass for true. Names of classes are taken as they are written, whatever they look like.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
# tag, what it looks like, the characters that it begins with
SCALARS = (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


class Loader(yaml.SafeLoader):
    """Scalars as above; duplicate keys are refused.

    Attributes:
        names: keys whose values are words, a text or a list of texts.
    """

    yaml_implicit_resolvers: dict[str, list] = {}  # noqa: RUF012 - PyYAML's own name; filled below
    names: Collection[str] = ("class_names",)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key.value, str):
                continue  # which SafeLoader refuses, with its line
            if key.value in seen and key.tag != f"{TAG}merge":
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key.value}'", key.start_mark)
            seen.add(key.value)
            if key.tag == f"{TAG}bool":
                key.tag = f"{TAG}str"  # the key `on` is a name like any other
            if key.value in self.names:
                as_words(value)
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        return int(self.construct_scalar(node))


class Dumper(yaml.SafeDumper):
    """Quotes a text that a reader, this one or one of YAML 1.1, would take for something else."""


for _tag, _pattern, _first in SCALARS:
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(TAG + _tag, re.compile(rf"(?:{_pattern})$"), list(_first))
Loader.add_constructor(f"{TAG}int", Loader.construct_decimal)


def as_words(node: yaml.Node) -> None:
    """Have a scalar that is not null, or every scalar of a list, read as text."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if isinstance(item, yaml.ScalarNode):
                item.tag = f"{TAG}str"
    elif isinstance(node, yaml.ScalarNode) and node.tag != f"{TAG}null":
        node.tag = f"{TAG}str"


def parse_yaml(text: str, source: str, key: str = "", loader: type[Loader] = Loader) -> Any:
    """Return what a YAML text says.

    Args:
        text: one document.
        source: where it comes from, the start of every message.
        key: of which the text is the value, where it is not a whole file.
        loader: with more tags, or other ``names``.

    Raises:
        ValueError: it is not valid YAML, has a key twice, or holds itself.
    """
    try:
        value = _construct(loader(text), key)
        _walk(value)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{source}{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # control characters; !!timestamp 2020-99-99
        raise ValueError(f"{source}: not valid YAML: {error}") from None
    except RecursionError:
        raise ValueError(f"{source}: not valid YAML: it is nested too deeply, or an alias stands for itself") from None
    return value


def read_yaml(path: str | Path, loader: type[Loader] = Loader) -> Any:
    """Return what a YAML file says; see `parse_yaml`.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not text in UTF-8, or not valid YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error.reason} at byte {error.start}") from None
    return parse_yaml(text, str(path), loader=loader)


def inline(value: Any) -> str:
    """Return ``value`` as YAML on one line: dumped as the only item of a list, whose brackets are dropped again."""
    options = {"default_flow_style": True, "width": 10**6, "allow_unicode": True, "sort_keys": False}
    return yaml.dump([value], Dumper=Dumper, **options)[1:-2]


def _construct(loader: Loader, key: str) -> Any:
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if key in loader.names:
            as_words(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(value: Any) -> None:
    """Visit every part, which ends in a RecursionError where a part holds itself."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _walk(part)
