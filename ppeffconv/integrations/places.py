"""Where a toolkit's configuration finds its data, and what to do where they are missing."""

from __future__ import annotations

from pathlib import Path

from ..data.sources import data_home


def find_data(path: str) -> str:
    """Return a place of data as it stands, or of ``dataset/...`` that is not there the same in ``$PPEFFCONV_DATA``."""
    place = Path(path).expanduser()
    if not place.exists() and place.parts[:1] == ("dataset",):
        elsewhere = data_home().joinpath(*place.parts[1:])
        if elsewhere.exists():
            return str(elsewhere)
    return str(place)


def how_to_get(path: str | Path) -> str:
    """What to do about data that are not at ``path``, as the end of a message: where it was looked for, and scenes."""
    place = Path(path)
    text = "" if place.is_absolute() else f" (looked for in {Path.cwd()})"
    if "scenes" in place.parts:
        folder = Path(*place.parts[: place.parts.index("scenes") + 1])
        text += f"; make the scenes with `python tools/make_scenes.py --output {folder}`"
    return text
