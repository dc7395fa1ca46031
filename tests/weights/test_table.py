"""The table of weights that ships, and what its reader makes of mistakes."""

from __future__ import annotations

import sys

import pytest
import yaml

import ppeffconv
from ppeffconv.weights import SOURCES, fetch, rows, table
from ppeffconv.weights.publish import write_table
from ppeffconv.weights.table import FOLDER, check_row, read_entries, starts
from ppeffconv.weights.table import table as read

GOOD = {"model": "resnet20", "tag": "x", "source": "ppeffconv", "licence": "MIT", "classes": 10}
REMOTE = {**GOOD, "url": "https://example.org/x.safetensors"}


def test_paddles_rows_are_those_of_paddle_vision():
    modules = [
        sys.modules[f"paddle.vision.models.{name}"]
        for name in ("resnet", "vgg", "alexnet", "mobilenetv1", "mobilenetv2", "densenet")
    ]
    known = {name: where for module in modules for name, where in module.model_urls.items()}
    other = {"mobilenet_v1": "mobilenetv1_1.0", "mobilenet_v2": "mobilenetv2_1.0"}
    ours = {row.model: (row.url, row.md5) for row in table() if row.tag == "paddle"}
    assert len(ours) == 12
    assert ours == {name: known[other.get(name, name)] for name in ours}


def test_what_is_unknown_is_left_out():
    """Files that nobody here could read have neither size nor checksum, and do not come unasked."""
    for row in table():
        assert row.opened or (row.sha256, row.md5, row.size) == (None, None, None)
        assert row.opened or not row.starts
        assert not row.metrics or row.metrics["measured_by"]
    assert not any(row.opened for row in table() if row.source == "facebookresearch/OctConv")


def test_every_network_that_is_offered_exists():
    offered = ppeffconv.list_models(pretrained=True)
    assert {row.model for row in table() if row.opened} == set(offered)
    assert {"resnet50", "vgg16"} <= set(offered)
    assert ppeffconv.list_models("resnet1??", pretrained=True) == ["resnet101", "resnet152"]


def test_own_files_are_there_and_whole():
    own = [row for row in table() if row.file]
    assert {path.name for path in (FOLDER / "files").glob("*")} == {row.file for row in own}
    for row in own:
        assert fetch(row).stat().st_size == row.size


def test_its_form_is_that_of_the_program_that_adds_rows(tmp_path):
    """So that a new row is the only change."""
    text = (FOLDER / "table.yaml").read_text(encoding="utf-8")
    (tmp_path / "table.yaml").write_text(text, encoding="utf-8")
    write_table(read_entries(), tmp_path)
    assert (tmp_path / "table.yaml").read_text(encoding="utf-8") == text


def test_queries():
    assert [row.tag for row in rows("resnet50")] == ["paddle"]
    assert rows("sp_resnet50") == []
    assert [row.name for row in starts("sp_resnet50")] == ["resnet50.paddle"]
    assert starts("resnet50") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licnce": "MIT"}, "unknown field 'licnce'. Did you mean 'licence'"),
        ({"classes": None}, "'classes' is missing"),
        ({"classes": "10"}, "'classes' must be int, got '10'"),
        ({"classes": True}, "'classes' must be int, got True"),
        ({"classes": 0}, "must be positive"),
        ({"size": -1}, "must be positive"),
        ({"opened": "no"}, "'opened' must be bool"),
        ({"metrics": 3}, "'metrics' must be mapping"),
        ({"tag": "Big one"}, "'tag' must consist of"),
        ({"source": "facebookresearch/octconv"}, "unknown source.*Did you mean 'facebookresearch/OctConv'"),
        ({"url": None}, "expected either 'url' or 'file'"),
        ({"file": "x.safetensors"}, "expected either 'url' or 'file'"),
        ({"url": "http://example.org/x"}, "must be an https address"),
        ({"url": "https:///x"}, "must be an https address"),
        ({"url": None, "file": "../x.safetensors", "sha256": "0" * 64, "size": 1}, "name of a .safetensors"),
        ({"url": None, "file": "x.pdparams", "sha256": "0" * 64, "size": 1}, "name of a .safetensors"),
        ({"url": None, "file": "x.safetensors"}, "needs its 'sha256' and 'size'"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"md5": "0" * 64}, "32 of MD5"),
    ],
)
def test_mistakes_in_a_row(change, message):
    entry = {key: value for key, value in {**REMOTE, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=f"^here: .*{message}"):
        check_row(entry, "here")


def test_a_good_row():
    row = check_row({**REMOTE, "md5": "0" * 32}, "here")
    assert (row.name, row.checksum, row.opened) == ("resnet20.x", "md5:" + "0" * 32, True)
    assert set(SOURCES) >= {row.source for row in table() if row.source != "ppeffconv"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weights: [", "is no YAML"),
        ("- a", "expected a list of rows under 'weights'"),
        ("weights: 3", "expected a list of rows under 'weights'"),
        ("weights: [3]", "row 1: expected fields"),
        (yaml.safe_dump({"weights": [REMOTE, REMOTE]}), "row 2: resnet20.x is there already"),
        (yaml.safe_dump({"weights": [REMOTE, {**REMOTE, "tag": "y", "clases": 1}]}), r"row 2 \(resnet20.y\): unknown"),
    ],
)
def test_mistakes_in_the_file(tmp_path, text, message):
    (tmp_path / "table.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="install the package again"):
        read(tmp_path)
