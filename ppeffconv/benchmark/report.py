"""Writing the tables into a document, between two markers."""

from __future__ import annotations

import re
from pathlib import Path

from ..utils.files import replacing
from .op_rows import op_rows
from .rows import Row
from .session import Session, load
from .tables import heading, targets_table, times_table
from .train_rows import train_rows

KINDS = {"ops": op_rows, "train": train_rows}
END = "<!-- /benchmark -->"


def rows_of(kind: str) -> list[Row]:
    """The rows of a kind."""
    return KINDS[kind]()


def full(session: Session) -> str:
    """Everything about the rows that a session measured."""
    rows = [row for row in rows_of(session["kind"]) if row.name in session["rows"]]
    targets = targets_table(session, rows)
    return f"{heading(session)}\n\n{targets}\n\n{times_table(session)}\n"


def write_into(document: Path, sessions: list[Path]) -> None:
    """Replace what stands between ``<!-- benchmark:KIND -->`` and ``<!-- /benchmark -->`` by the table of that kind.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the document has no such markers.
    """
    if not document.is_file():
        raise FileNotFoundError(f"--into: there is no {document}")
    text = document.read_text(encoding="utf-8")
    for path in sessions:
        session = load(path)
        begin = f"<!-- benchmark:{session['kind']} -->"
        targets = targets_table(session, rows_of(session["kind"]))
        times = f"<details><summary>Every contestant</summary>\n\n{times_table(session)}\n\n</details>"
        block = f"{begin}\n{heading(session)}\n\n{targets}\n\n{times}\n{END}"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
        text, count = pattern.subn(lambda _, block=block: block, text)
        if count != 1:
            raise ValueError(f"{document} must hold the markers {begin} and {END} once, it has {count}")
    with replacing(document) as temporary:
        temporary.write_text(text, encoding="utf-8")
