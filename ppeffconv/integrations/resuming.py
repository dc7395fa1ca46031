"""What a run and its continuation must agree on: what shapes the course of training, not where things lie."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..utils.files import replacing

FACTS = "data.json"  # in a run's folder: what its training data are
NOT_SET = "not set"


def check_resumed(saved: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str], source: str) -> None:
    """Compare the configuration of a run with the one that is to continue it.

    Args:
        saved, now: trees of settings.
        free: keys that may differ, dotted ones with all below them; without a dot also as the last name of any key.
        source: the run, for the message.

    Raises:
        ValueError: they differ in another key; the message has each with both values.
    """
    before, after = (dict(_flatten(tree)) for tree in (saved, now))
    differing = [key for key in sorted({*before, *after}) if before.get(key, NOT_SET) != after.get(key, NOT_SET)]
    lines = [
        f"{key}: the run {before.get(key, NOT_SET)!r}, now {after.get(key, NOT_SET)!r}"
        for key in differing
        if not _is_free(key, free)
    ]
    if lines:
        raise ValueError(
            f"cannot resume {source}, because the configuration is not the one that it was trained with. "
            f"{'; '.join(lines)}. Set them back, or begin another run from its weights"
        )


def check_data(folder: Path, facts: Mapping[str, Any], resumed: bool) -> None:
    """Keep what a run's training data are beside it, or compare it with what is kept where the run goes on.

    Raises:
        ValueError: the run goes on, and was trained on other data.
    """
    file = folder / FACTS
    if resumed and file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        lines = [
            f"{key}: {before.get(key)!r}, now {value!r}" for key, value in facts.items() if before.get(key) != value
        ]
        if lines:
            raise ValueError(f"cannot resume {folder}, because it was trained on other data: {'; '.join(lines)}")
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def trained_classes(weights: Path) -> list[str] | None:
    """The classes that weights were trained on, if they lie in a run's folder that tells."""
    for folder in (weights.parent, weights.parent.parent):
        if (folder / FACTS).is_file():
            classes = json.loads((folder / FACTS).read_text(encoding="utf-8")).get("classes")
            return classes if isinstance(classes, list) else None
    return None


def _is_free(key: str, free: Collection[str]) -> bool:
    parts = key.split(".")
    return parts[-1] in free or any(".".join(parts[:end]) in free for end in range(1, len(parts) + 1))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
