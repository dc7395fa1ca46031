"""The table of pretrained weights, table.yaml: what the fields of a row mean, and whether they make sense."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..registry import did_you_mean
from ..utils.checksum import Checksum
from .sources import SOURCES

FOLDER = Path(__file__).parent
OWN = "ppeffconv"  # the source of weights that were trained here
TAG = re.compile(r"[a-z0-9][a-z0-9._-]*$")
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$")


@dataclass(frozen=True)
class Row:
    """One set of weights.

    Args:
        model: the network that it belongs to, as `create_model` names it.
        tag: tells several sets of one network apart, such as "paddle".
        source: where its keys come from: "ppeffconv", or one of `SOURCES`.
        licence: of the weights, as an SPDX identifier.
        classes: width of its classifier.
        url, file: where it is: an https address, or a file in files/ beside the table.
        sha256, md5: its checksum, if its publisher gives one. A file must have a SHA-256.
        size: bytes, if known.
        arguments: of `create_model`, which the network must have.
        head: the layer that classifies; it starts anew where another number of classes is wanted.
        starts: shell wildcard for networks that take those of its layers that fit, when they are asked for by the tag.
        opened: False where nobody here has read the file yet; it is then used only when asked for by the tag.
        preprocessing: of the images: color, resize, crop, mean and std on the scale of [0, 1].
        metrics: data, top1 and top5 in percent, measured_by.
        recipe: the configuration that trained it.
    """

    model: str
    tag: str
    source: str
    licence: str
    classes: int
    url: str | None = None
    file: str | None = None
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    head: str = "fc"
    starts: str | None = None
    opened: bool = True
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None

    @property
    def name(self) -> str:
        """Model and tag, "resnet50.paddle"."""
        return f"{self.model}.{self.tag}"

    @property
    def checksum(self) -> str | None:
        """As `Checksum.parse` takes it."""
        return self.sha256 or (self.md5 and f"md5:{self.md5}")


@cache
def table(folder: Path = FOLDER) -> tuple[Row, ...]:
    """Return the rows of ``folder``/table.yaml, read once (``table.cache_clear()`` forgets them).

    Raises:
        FileNotFoundError: there is no table.
        ValueError: a row does not make sense; the message names it.
    """
    return tuple(check_row(entry, where) for where, entry in _entries(folder))


def read_entries(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return the rows as they stand in the file, unchecked."""
    return [entry for _, entry in _entries(folder)]


def rows(model: str, every: Sequence[Row] | None = None) -> list[Row]:
    """Return the sets of weights made for ``model``, best first."""
    return [row for row in (table() if every is None else every) if row.model == model]


def pretrained_models() -> set[str]:
    """Return the networks that have a complete set of weights, whose file is known to fit."""
    return {row.model for row in table() if row.opened}


def starts(model: str, every: Sequence[Row] | None = None) -> list[Row]:
    """Return the sets of other networks, some layers of which fit ``model``."""
    return [row for row in (table() if every is None else every) if row.starts and fnmatchcase(model, row.starts)]


def _entries(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    path = folder / "table.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"there is no table of weights at {path}: install the package again")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if not isinstance(content, Mapping) or not isinstance(content.get("weights"), list):
        raise ValueError(f"{path}: expected a list of rows under 'weights'")
    seen, entries = set(), []
    for number, entry in enumerate(content["weights"], start=1):
        if not isinstance(entry, dict):
            raise ValueError(f"{path}, row {number}: expected fields and their values, got {entry!r}")
        name = f"{entry.get('model')}.{entry.get('tag')}"
        if name in seen:
            raise ValueError(f"{path}, row {number}: {name} is there already")
        seen.add(name)
        entries.append((f"{path}, row {number} ({name})", entry))
    return entries


def check_row(entry: Mapping[str, Any], where: str) -> Row:
    """Return the row that ``entry`` describes; ValueError that begins with ``where`` if it does not make sense."""
    known = {f.name: f for f in fields(Row)}
    for key in entry:
        if key not in known:
            raise ValueError(f"{where}: unknown field '{key}'.{did_you_mean(key, known)} Known: {', '.join(known)}")
    for key, f in known.items():
        if key not in entry and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{where}: '{key}' is missing")
        _check_type(key, f.type, entry.get(key), f"{where}: '{key}'")
    row = Row(**entry)
    for problem in _problems(row):
        raise ValueError(f"{where}: {problem}")
    return row


def _check_type(key: str, annotation: str, value: Any, what: str) -> None:
    kind = {"str": str, "int": int, "bool": bool, "Mapping": Mapping}[annotation.split(" ")[0].split("[")[0]]
    wrong = not isinstance(value, kind) or (kind is int and isinstance(value, bool))
    if value is not None and wrong:
        raise ValueError(f"{what} must be {kind.__name__.lower()}, got {value!r}")


def _problems(row: Row) -> list[str]:
    """What is wrong with a row whose fields have the right types."""
    problems = []
    if not TAG.match(row.tag):
        problems.append(f"'tag' must consist of a-z, 0-9, '.', '_' and '-', got {row.tag!r}")
    if row.source != OWN and row.source not in SOURCES:
        problems.append(f"unknown source '{row.source}'.{did_you_mean(row.source, [OWN, *SOURCES])}")
    if (row.url is None) == (row.file is None):
        problems.append("expected either 'url' or 'file'")
    if row.url is not None and (urlsplit(row.url).scheme != "https" or not urlsplit(row.url).hostname):
        problems.append(f"'url' must be an https address, got {row.url!r}")
    if row.file is not None and not FILE.match(row.file):
        problems.append(f"'file' must be the name of a .safetensors in files/, got {row.file!r}")
    if row.file is not None and (row.sha256 is None or row.size is None):
        problems.append("a 'file' needs its 'sha256' and 'size'")
    if row.classes < 1 or (row.size is not None and row.size < 1):
        problems.append("'classes' and 'size' must be positive")
    try:
        if row.checksum:
            Checksum.parse(row.checksum)
    except ValueError as error:
        problems.append(str(error))
    return problems
