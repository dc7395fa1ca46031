"""Packages whose names are imported at their first use, so that ``-h`` and the doctor need not wait for Paddle."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def import_lazily(package: str, exports: Mapping[str, str]) -> list[str]:
    """Have ``package`` import each name when it is first asked for.

    Args:
        package: its ``__name__``.
        exports: name -> ".module" that holds it (or that it is), or ".module:name there".

    Returns:
        The names, for ``__all__``.
    """
    module = sys.modules[package]
    module.__class__ = _Lazy
    module.__dict__["_exports"] = dict(exports)
    return sorted(exports)


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name not in self._exports:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        path, _, attribute = self._exports[name].partition(":")
        module = importlib.import_module(path, self.__name__)
        value = getattr(module, attribute or name, module)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Python sets a module that it has imported in its package, where it would hide the function of that name.
        if not (isinstance(value, ModuleType) and name in self._exports):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._exports})
