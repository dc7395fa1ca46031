"""tools/upsampling.py: the document is written from the results that were kept."""

from __future__ import annotations

import json

from ..benchmarks.accuracy.test_depth_report import ROWS


def test_the_table_from_kept_results(tool, tmp_path, capsys):
    document = tmp_path / "README.md"
    document.write_text("<!-- upsampling -->\n<!-- /upsampling -->\n")
    (tmp_path / "results.json").write_text(json.dumps(ROWS))
    (tmp_path / "scenes_x4.png").write_bytes(b"")
    assert tool("upsampling", "--into", document, "--table-only") == 0
    assert "| **DDF-Up-Net** | 3.00 |" in document.read_text()
    assert "![scenes x4](scenes_x4.png)" in document.read_text()
    assert "| **DDF-Up-Net** | 3.00 |" in capsys.readouterr().out


def test_before_any_run(tool, tmp_path, capsys):
    assert tool("upsampling", "--runs", tmp_path, "--into", tmp_path / "README.md") == 2
    assert "run tools/run_queue.py first" in capsys.readouterr().err
