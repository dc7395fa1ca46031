"""YAML is read as it was written: decimal numbers, words that stay words, nothing twice."""

from __future__ import annotations

import pytest
import yaml

from ppeffconv.config_yaml import Loader, inline, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-007", -7),
        ("08", 8),
        ("1e-3", 0.001),
        ("1E+2", 100.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", float("-inf")),
        ("99999999999999999999", 99999999999999999999),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("190:20:30", "190:20:30"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
        ("2020_01", "2020_01"),
        ("0x10", "0x10"),
        ("0b11", "0b11"),
        ("=", "="),
        ("y", "y"),
        ("~", None),
        ("", None),
        ("null", None),
        ("no", False),
        ("True", True),
        ("'no'", "no"),
        ("'010'", "010"),
        ("{on: 1, no: 2}", {"on": 1, "no": 2}),
        ("[&a 1, *a]", [1, 1]),
    ],
)
def test_scalars(text, value):
    got = parse_yaml(text, "X")
    assert got == value
    assert type(got) is type(value)
    assert parse_yaml(inline(got), "X") == got


WORDS = "[no, yes, maybe, 0, 1, 007, 1.50, 1e3, 2026-01-02, 1:30, null, ~, true, 'a b', =]"
AS_WRITTEN = [
    "no",
    "yes",
    "maybe",
    "0",
    "1",
    "007",
    "1.50",
    "1e3",
    "2026-01-02",
    "1:30",
    "null",
    "~",
    "true",
    "a b",
    "=",
]


def test_names_of_classes_are_words():
    assert parse_yaml(f"dataset: {{class_names: {WORDS}}}", "X") == {"dataset": {"class_names": AS_WRITTEN}}
    assert parse_yaml(WORDS, "X", key="class_names") == AS_WRITTEN
    assert parse_yaml(inline(AS_WRITTEN), "X") == AS_WRITTEN
    assert yaml.safe_load(inline(AS_WRITTEN)) == AS_WRITTEN  # other readers understand what is saved
    assert parse_yaml("class_names: 007", "X") == {"class_names": "007"}
    assert parse_yaml("class_names: ~", "X") == {"class_names": None}
    assert parse_yaml("class_names:\n- no\n- 1", "X") == {"class_names": ["no", "1"]}


def test_a_reader_with_names_of_its_own():
    class Other(Loader):
        names = ("label_list",)

    assert parse_yaml("{label_list: [1], class_names: [1]}", "X", loader=Other) == {
        "label_list": ["1"],
        "class_names": [1],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "X, line 3, column 1: not valid YAML: duplicate key 'a'"),
        ("{on: 1, on: 2}", "duplicate key 'on'"),
        ("a:\n\tb: 1", "X, line 2, column 1: not valid YAML"),
        ("&a [*a]", "an alias stands for itself"),
        ("a: 1\n---\nb: 1", "X, line 2"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("a: *b", "X, line 1, column 4"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_yaml(text, "X")
    assert "\n" not in str(error.value)


def test_files_of_other_editors(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("\ufeffname: Zürich\r\nother: 1\r\n".encode())
    assert read_yaml(path) == {"name": "Zürich", "other": 1}
    path.write_bytes("name: Zürich".encode("latin-1"))
    with pytest.raises(ValueError, match=r"run\.yaml: not a text file in UTF-8"):
        read_yaml(path)
