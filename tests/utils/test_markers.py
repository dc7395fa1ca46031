"""Text between markers."""

from __future__ import annotations

import pytest

from ppeffconv.utils.markers import write_between

DOCUMENT = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween <!-- b -->\n<!-- /b -->\nafter\n"


def test_replaces_what_stands_there_and_nothing_else(tmp_path):
    document = tmp_path / "x.md"
    document.write_text(DOCUMENT)
    write_between(document, "a", r"new \1 text")
    expected = DOCUMENT.replace("old", r"new \1 text")
    assert document.read_text() == expected
    write_between(document, "a", r"new \1 text")
    assert document.read_text() == expected
    write_between(document, "b", "x\ny")
    assert document.read_text() == expected.replace("<!-- b -->\n", "<!-- b -->\nx\ny\n")


@pytest.mark.parametrize("text", ["no markers", DOCUMENT + DOCUMENT, "<!-- /a --> <!-- a -->"])
def test_markers_must_be_there_once(tmp_path, text):
    document = tmp_path / "x.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="must hold the markers <!-- a --> and <!-- /a --> once"):
        write_between(document, "a", "new")
    assert document.read_text() == text


def test_no_document(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        write_between(tmp_path / "x.md", "a", "new")
