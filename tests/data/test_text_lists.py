"""Lists and class names as editors of all systems write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppeffconv.data.text_lists import read_class_names, read_lines, read_list


@pytest.fixture
def text(tmp_path):
    def write(content: str | bytes, encoding: str = "utf-8") -> Path:
        path = tmp_path / "list.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_line_ends_and_spaces(text, tmp_path, encoding, end):
    path = text(end.join(["été/a.png 0 ", "", " b c.png\t1", ""]), encoding)
    assert read_list(path, tmp_path, None)[:2] == (["été/a.png", "b c.png"], [0, 1])
    assert read_class_names(str(text(end.join(["été", "b c ", ""]), encoding))) == ["été", "b c"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named(text, encoding):
    with pytest.raises(ValueError, match=r"list.txt is written in UTF-16: save it in UTF-8"):
        read_lines(text("a.png 0\n", encoding))


def test_latin1_names_the_line(text):
    with pytest.raises(ValueError, match=r"list.txt, line 2: byte 0xe9 is not UTF-8, perhaps Latin-1"):
        read_lines(text("a.png 0\né.png 1\n", "latin-1"))


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ('"my dir/a b.png" 0', "my dir/a b.png"),
        ("'a.png'  0", "a.png"),
        ("my dir\\a.png 0", "my dir/a.png"),
        ("/data/a.png 0", "/data/a.png"),
        ("C:\\data\\a.png 0", "C:/data/a.png"),
        ("./a.png 0", "./a.png"),
        ("it's.png 0", "it's.png"),
    ],
)
def test_paths(text, tmp_path, line, file):
    assert read_list(text(line), tmp_path, None)[0] == [file]


def test_a_backslash_that_a_file_has(text, tmp_path):
    (tmp_path / "a\\b.png").touch()
    assert read_list(text("a\\b.png 0"), tmp_path, None)[0] == ["a\\b.png"]


@pytest.mark.parametrize(
    ("label", "problem"), [("1.0", "expected 'path label'"), ("20240101123", "no number of a class")]
)
def test_labels_that_are_none(text, tmp_path, label, problem):
    with pytest.raises(ValueError, match=rf"list.txt, line 2: .*{problem}"):
        read_list(text(f"a.png 0\nb.png {label}\n"), tmp_path, None)


@pytest.mark.parametrize(
    ("names", "problem"),
    [(["a", "b", "a"], "there twice: a"), ([False, True], "must be text, got False"), ([], "no class names")],
)
def test_class_names_that_are_none(text, names, problem):
    with pytest.raises(ValueError, match=f"class_names: .*{problem}"):
        read_class_names(names)
    if all(isinstance(name, str) for name in names):
        with pytest.raises(ValueError, match=f"list.txt: {problem}"):
            read_class_names(str(text("\n".join(names))))


def test_numbers_are_names():
    assert read_class_names([0, 1]) == ["0", "1"]
