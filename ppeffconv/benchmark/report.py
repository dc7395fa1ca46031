"""Writing what was measured into a document, between two markers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..utils.files import replacing
from . import deploy_tables, figures, growth_figures
from .deploy_rows import deploy_rows, growth_rows
from .op_rows import op_rows
from .rows import Row
from .session import Session, load
from .tables import heading, targets_table, times_table
from .train_rows import train_rows

END = "<!-- /benchmark -->"


class Kind(NamedTuple):
    """A kind of session.

    Attributes:
        rows: what is measured.
        summary: the tables of a document; those of targets by default.
        draw: figures into a folder; returns their names and captions.
    """

    rows: Callable[[], list[Row]]
    summary: Callable[[Session], str] | None = None
    draw: Callable[[Session, Path], dict[str, str]] | None = None


KINDS = {
    "ops": Kind(op_rows),
    "train": Kind(train_rows),
    "deploy": Kind(deploy_rows, deploy_tables.summary, figures.draw_deploy),
    "growth": Kind(growth_rows, deploy_tables.growth, growth_figures.draw_growth),
}


def rows_of(kind: str) -> list[Row]:
    """The rows of a kind."""
    return KINDS[kind].rows()


def full(session: Session) -> str:
    """Everything about the rows that a session measured."""
    rows = [row for row in rows_of(session["kind"]) if row.name in session["rows"]]
    summary = KINDS[session["kind"]].summary
    targets = targets_table(session, rows) if any(row.targets for row in rows) or not summary else ""
    parts = [heading(session), summary(session) if summary else "", targets, times_table(session)]
    return "\n\n".join(filter(None, parts)) + "\n"


def kinds_in(document: Path) -> list[str]:
    """The kinds that have markers in a document.

    Raises:
        FileNotFoundError: there is no document.
        ValueError: it has no markers.
    """
    text = _text(document)
    kinds = [kind for kind in KINDS if _begin(kind) in text]
    if not kinds:
        raise ValueError(f"{document} must hold the markers {_begin('deploy')} and {END}, or those of another kind")
    return kinds


def write_into(document: Path, sessions: list[Path]) -> None:
    """Replace what stands between ``<!-- benchmark:KIND -->`` and ``<!-- /benchmark -->`` by the tables of that kind.

    Its figures are drawn into the folder of the session's file.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the document has no such markers.
    """
    text = _text(document)
    for path in sessions:
        session = load(path)
        begin = _begin(session["kind"])
        block = f"{begin}\n{_block(session, path.parent, document.parent)}\n{END}"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
        text, count = pattern.subn(lambda _, block=block: block, text)
        if count != 1:
            raise ValueError(f"{document} must hold the markers {begin} and {END} once, it has {count}")
    with replacing(document) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _text(document: Path) -> str:
    if not document.is_file():
        raise FileNotFoundError(f"--into: there is no {document}")
    return document.read_text(encoding="utf-8")


def _begin(kind: str) -> str:
    return f"<!-- benchmark:{kind} -->"


def _block(session: Session, folder: Path, root: Path) -> str:
    kind = KINDS[session["kind"]]
    summary = kind.summary(session) if kind.summary else targets_table(session, kind.rows())
    drawn = kind.draw(session, folder) if kind.draw else {}
    place = Path(os.path.relpath(folder, root)).as_posix()
    pictures = "\n\n".join(f"![{caption}]({place}/{name})" for name, caption in drawn.items())
    times = f"<details><summary>Every contestant</summary>\n\n{times_table(session)}\n\n</details>"
    return "\n\n".join(filter(None, [heading(session), summary, pictures, times]))
