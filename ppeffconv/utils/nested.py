"""Values in nested lists, tuples and dicts, such as networks return: taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def leaves(value: Any) -> list[Any]:
    """The values in lists, tuples and dicts, at any depth, in order; None is no value."""
    found: list[Any] = []
    structure(value, found.append)
    return found


def structure(value: Any, visit: Callable[[Any], object] = lambda leaf: None) -> Any:
    """How ``value`` is nested: lists for lists and tuples, dicts, None, and for the values their numbers, from 0 on.

    ``visit`` is called with each value. JSON can hold the result if the keys of dicts are strings.
    """
    count = 0

    def walk(part: Any) -> Any:
        nonlocal count
        if part is None:
            return None
        if isinstance(part, Mapping):
            return {key: walk(inner) for key, inner in part.items()}
        if isinstance(part, (list, tuple)):
            return [walk(inner) for inner in part]
        visit(part)
        count += 1
        return count - 1

    return walk(value)


def rebuild(form: Any, values: Sequence[Any]) -> Any:
    """The values in the nesting that `structure` found."""
    if form is None:
        return None
    if isinstance(form, Mapping):
        return {key: rebuild(inner, values) for key, inner in form.items()}
    return [rebuild(inner, values) for inner in form] if isinstance(form, list) else values[form]
