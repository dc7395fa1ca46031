"""One small registry: names to objects, with errors that name the nearest known name."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

SHOWN = 20  # names in an error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def check_names(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ValueError, with the nearest known name, if one of the argument ``names`` of ``what`` is not ``known``."""
    known = list(known)
    for name in names:
        if name not in known:
            takes = f"It takes: {', '.join(known)}" if known else "It takes none."
            raise ValueError(f"{what} has no argument '{name}'.{did_you_mean(name, known)} {takes}")


def check_arguments(function: Callable, arguments: Iterable[str], what: str) -> None:
    """Raise ValueError if ``function`` does not take one of the named ``arguments``."""
    parameters = inspect.signature(function).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        check_names(arguments, (p.name for p in parameters if p.name != "self"), what)


class Registry:
    """Maps names to objects of one kind.

    Args:
        kind: what is registered, as it should read in an error ("model", "dataset").
        refresh: called before every look at the names, to register what has become possible meanwhile.
    """

    def __init__(self, kind: str, refresh: Callable[[], None] = lambda: None) -> None:
        self.kind, self._refresh = kind, refresh
        self._entries: dict[str, Any] = {}

    def register(self, name: str | None = None) -> Callable[[Any], Any]:
        """Decorator that registers a class or function under ``name`` (default: its own name)."""

        def add(entry: Any) -> Any:
            key = name or entry.__name__
            if key in self._entries:
                raise ValueError(f"{self.kind} '{key}' is already registered")
            self._entries[key] = entry
            return entry

        return add

    def get(self, name: str) -> Any:
        """Return the entry called ``name``; ValueError with a suggestion if there is none."""
        if name not in self:
            known = self.list()
            more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
            near = did_you_mean(name, known)
            raise ValueError(f"unknown {self.kind} '{name}'.{near} Known: {', '.join(known[:SHOWN])}{more}")
        return self._entries[name]

    def list(self, pattern: str = "*") -> list[str]:
        """Names that match a shell wildcard, in natural order (resnet18 before resnet101)."""
        self._refresh()
        names = [n for n in self._entries if fnmatch.fnmatchcase(n, pattern)]
        return sorted(names, key=lambda n: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", n)])

    def __contains__(self, name: str) -> bool:
        self._refresh()
        return name in self._entries
