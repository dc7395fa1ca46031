"""Atomic replacement of files."""

from __future__ import annotations

import pytest

from ppeffconv.utils.files import replacing


def test_replaces_and_makes_the_folder(tmp_path):
    target = tmp_path / "a" / "b.txt"
    for text in ("first", "second"):
        with replacing(target) as temporary:
            temporary.write_text(text)
        assert target.read_text() == text
    assert [path.name for path in target.parent.iterdir()] == ["b.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "b.txt"
    target.write_text("old")

    def fill_the_disk():
        with replacing(target) as temporary:
            temporary.write_text("ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fill_the_disk()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_the_old_file_stands_until_the_end(tmp_path):
    target = tmp_path / "b.txt"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == target.parent
