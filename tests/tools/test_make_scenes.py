"""tools/make_scenes.py, as a shell would call it."""

from __future__ import annotations

import json

from ..data.scenes.garments import write_fashion_mnist


def test_scenes_from_the_command_line(tool, tmp_path, capsys):
    root = write_fashion_mnist(tmp_path / "garments")
    options = ["--root", root, "--train", 2, "--val", 1, "--size", 50, 70, "--garments", 2, 4, "--workers", 1]
    assert tool("make_scenes", "--output", tmp_path / "scenes", *options) == 0
    assert f"scenes: {tmp_path / 'scenes'}" in capsys.readouterr().out
    settings = json.loads((tmp_path / "scenes" / "scenes.json").read_text())
    assert (settings["height"], settings["width"], settings["fewest"], settings["most"]) == (50, 70, 2, 4)


def test_the_default_folder_is_with_the_other_data(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_DATA", str(tmp_path))
    write_fashion_mnist(tmp_path)
    assert tool("make_scenes", "--train", 1, "--val", 0, "--size", 64, "--workers", 1) == 0
    assert (tmp_path / "scenes" / "images" / "train" / "000000.jpg").is_file()


def test_mistakes_are_one_message(tool, tmp_path, capsys):
    assert tool("make_scenes", "--output", tmp_path / "s", "--root", tmp_path, "--workers", 1) == 2
    assert "error: no Fashion-MNIST" in capsys.readouterr().err
    assert tool("make_scenes", "--output", tmp_path / "s", "--size", 10) == 2
    assert "at least 48 pixels" in capsys.readouterr().err
    assert tool("make_scenes", "--output", tmp_path / "s", "--size", 64, 64, 64) == 2
    assert "--size takes one side or height and width" in capsys.readouterr().err
