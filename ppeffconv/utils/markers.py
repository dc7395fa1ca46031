"""Generated text between markers in a document: ``<!-- name -->`` and ``<!-- /name -->``."""

from __future__ import annotations

import re
from pathlib import Path

from .files import replacing


def write_between(document: str | Path, name: str, text: str) -> None:
    """Replace what stands between the markers ``name`` of ``document``.

    Raises:
        FileNotFoundError: there is no document.
        ValueError: it does not hold the markers once.
    """
    document = Path(document)
    if not document.is_file():
        raise FileNotFoundError(f"there is no {document}")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new, count = pattern.subn(lambda _: f"{begin}\n{text}\n{end}", document.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{document} must hold the markers {begin} and {end} once, it has them {count} times")
    with replacing(document) as temporary:
        temporary.write_text(new, encoding="utf-8")
