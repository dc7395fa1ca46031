"""tools/benchmark.py: how it fails, and a report."""

from __future__ import annotations

import json

import pytest

from ..benchmarks.speed.test_report import SESSION


def test_report(tool, tmp_path):
    document = tmp_path / "README.md"
    document.write_text("<!-- benchmark:train --><!-- /benchmark:train -->\n")
    (tmp_path / "benchmark").mkdir()
    path = tmp_path / "benchmark" / "train.json"
    path.write_text(json.dumps(SESSION))
    assert tool("benchmark", "report", "--into", document, "--json", path) == 0
    assert "| 6x faster than stock | 5.0x |" in document.read_text()
    assert tool("benchmark", "report", "--into", document) == 0  # the one that is kept in custom_ops/benchmark
    assert "A processor" not in document.read_text()
    document.write_text("no markers")
    assert tool("benchmark", "report", "--into", document) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--rows", "resnet19"], "no row matches 'resnet19'. Did you mean 'resnet18'?"),
        (["deploy", "--rows", "oct_resnet50_batch1"], "no row matches 'oct_resnet50_batch1'. Did you mean"),
        (["train", "--peer-python", "nowhere"], "there is no interpreter at nowhere"),
        (["ops", "--rounds", "0"], "at least one round"),
        (["report", "--into", "nowhere.md"], "there is no nowhere.md"),
    ],
)
def test_mistakes(tool, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert tool("benchmark", *arguments) == 2
    assert message in capsys.readouterr().err
