"""The folders import in one direction: each those below it, so that no two need one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ppeffconv

ROOT = Path(__file__).resolve().parents[1]
# from the ground up; rooms of one line do not import one another
ROOMS = [
    "utils registry",
    "config_schema config_yaml",
    "config_check config_rules",
    "config",
    "ops",
    "layers",
    "accelerate data weights",
    "models",
    "deployed",
    "conversion inference",
    "engine",
    "commands integrations",
    "benchmarks",
    "tools",
]
LEVELS = {name: level for level, line in enumerate(ROOMS) for name in line.split()}
FILES = sorted(file for folder in ("ppeffconv", "benchmarks", "tools") for file in (ROOT / folder).rglob("*.py"))
COMMANDS = {"ppeffconv/weights/__main__.py"}  # it builds the networks whose weights it converts; nothing imports it


def room(module: str) -> str | None:
    """Return the room of a module or public name of ours; None for that of another package or of nobody."""
    first, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    if first != "ppeffconv":
        return first if first in ("benchmarks", "tools") else None
    if name in LEVELS or not name or name.startswith("__"):
        return name if name in LEVELS else None
    return room(getattr(ppeffconv, name).__module__)


def imports(file: Path) -> Iterator[str]:
    """Yield what a file imports, at its head or within a function, as absolute names."""
    package = file.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level] if node.level else ()
            yield from (".".join((*parents, *filter(None, [node.module]), alias.name)) for alias in node.names)


@pytest.mark.parametrize("folder", ["ppeffconv", "benchmarks", "tools"])
def test_every_import_goes_down(folder):
    wrong = []
    for file in FILES:
        path = file.relative_to(ROOT)
        if path.parts[0] != folder or str(path) in COMMANDS | {"ppeffconv/__init__.py"}:
            continue
        own = path.with_suffix("").parts[1] if folder == "ppeffconv" else folder
        assert own in LEVELS, f"{path}: give the room its place in ROOMS"
        for module in imports(file):
            other = room(module)
            if other not in (None, own) and LEVELS[other] >= LEVELS[own]:
                wrong.append(f"{path} imports {module}")
    assert not wrong


def test_what_is_found():
    found = set(imports(ROOT / "ppeffconv" / "inference" / "exporter.py"))
    assert {"ppeffconv.deployed.deploy", "ppeffconv.inference.bundle", "threading"} <= found
    assert room("ppeffconv.deploy") == room("ppeffconv.deployed.deploy") == "deployed"
    assert room("paddle.inference") is None
