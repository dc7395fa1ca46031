"""Writing what was measured into a document, between two markers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ppeffconv.utils.markers import write_between

from . import busy_rows, deploy_tables, figures, growth_figures
from .deploy_rows import deploy_rows, growth_rows
from .op_rows import op_rows
from .rows import Row
from .session import Session, load
from .tables import heading, targets_table, times_table
from .train_rows import train_rows


class Kind(NamedTuple):
    """A kind of session.

    Attributes:
        rows: what is measured.
        summary: the tables of a document; those of targets by default.
        short: the one table of a document that shows no more.
        draw: figures beside the session's file, their names beginning with its; returns names and captions.
    """

    rows: Callable[[], list[Row]]
    summary: Callable[[Session], str] | None = None
    short: Callable[[Session], str] | None = None
    draw: Callable[[Session, Path], dict[str, str]] | None = None


KINDS = {
    "ops": Kind(op_rows),
    "train": Kind(train_rows),
    "deploy": Kind(deploy_rows, deploy_tables.summary, deploy_tables.speed_ups, figures.draw_deploy),
    "busy": Kind(busy_rows.busy_rows, busy_rows.summary),
    "growth": Kind(growth_rows, deploy_tables.growth, None, growth_figures.draw_growth),
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


def sessions_in(document: Path, folder: Path) -> list[Path]:
    """The sessions of a folder whose names have markers in a document, in full or short.

    Raises:
        FileNotFoundError: there is no document.
        ValueError: it has no markers.
    """
    sessions = [path for path in sorted(folder.glob("*.json")) if _markers_in(document, path.stem)]
    if not sessions:
        raise ValueError(f"{document} must hold the markers <!-- benchmark:deploy --> and <!-- /benchmark:deploy -->")
    return sessions


def write_into(document: Path, sessions: list[Path]) -> None:
    """Put the tables of each session NAME.json between the markers ``benchmark:NAME`` or ``benchmark:NAME:short``.

    A kind may be measured on several machines: deploy.json, deploy_avx2.json. The figures are drawn into the folder of
    the session's file.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the document has no such markers.
    """
    for path in sessions:
        session = load(path)
        full_name = f"benchmark:{path.stem}"
        for name in _markers_in(document, path.stem) or [full_name]:  # if there are none, writing says so
            text = _block(session, path, document.parent, short=name != full_name)
            write_between(document, name, text)


def _markers_in(document: Path, session: str) -> list[str]:
    if not document.is_file():
        raise FileNotFoundError(f"--into: there is no {document}")
    text = document.read_text(encoding="utf-8")
    return [name for name in (f"benchmark:{session}", f"benchmark:{session}:short") if f"<!-- {name} -->" in text]


def _block(session: Session, path: Path, root: Path, short: bool) -> str:
    kind = KINDS[session["kind"]]
    drawn = kind.draw(session, path) if kind.draw else {}
    place = Path(os.path.relpath(path.parent, root)).as_posix()
    pictures = [f"![{caption}]({place}/{name})" for name, caption in drawn.items()]
    if short:
        return "\n\n".join([heading(session), (kind.short or _summary)(session), *pictures[:1]])
    times = f"<details><summary>Every contestant</summary>\n\n{times_table(session)}\n\n</details>"
    return "\n\n".join(filter(None, [heading(session), _summary(session), *pictures, times]))


def _summary(session: Session) -> str:
    kind = KINDS[session["kind"]]
    return kind.summary(session) if kind.summary else targets_table(session, kind.rows())
