"""The picture of a trained network."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

from ppeffconv.engine.trained import draw_network
from ppeffconv.engine.trainer import Trainer
from ppeffconv.inference import drawing


def test_a_line_for_each_image(make_cfg, image_root, tmp_path):
    cfg = make_cfg("Global.epochs=1", Arch={"name": "oct_resnet20", "width": 4})
    Trainer(cfg).train()
    run = tmp_path / "output" / "tiny"
    files = sorted((image_root / "eval").rglob("*.png"))
    sizes = []
    for count in (1, 3):
        output = draw_network(cfg, files[:count], tmp_path / "x.png", run)
        sizes.append(Image.open(output).size)
    assert sizes[0][0] > 1500  # the image, three high and three low groups
    assert sizes[1] == (sizes[0][0], 3 * sizes[0][1])
    with pytest.raises(FileNotFoundError, match="no image"):
        draw_network(cfg, [tmp_path / "none.png"], tmp_path / "x.png", run)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"none of 1 files is an image that can be read, the first is .*bad.png"):
        draw_network(cfg, [tmp_path / "bad.png"], tmp_path / "x.png", run)


@pytest.mark.parametrize("name", ["sp_resnet20", "resnet20"])
def test_a_folder_and_networks_of_any_kind(make_cfg, image_root, tmp_path, name, capsys, monkeypatch):
    """A folder is drawn up to a number of lines; what cannot be read is left out and told."""
    monkeypatch.setattr(drawing, "LINES", 2)
    cfg = make_cfg("Global.epochs=1", Arch={"name": name, "width": 4})
    Trainer(cfg).train()
    run, folder = tmp_path / "output" / "tiny", tmp_path / "folder"
    folder.mkdir()
    file = next((image_root / "eval").rglob("*.png"))
    for number in range(4):
        shutil.copy(file, folder / f"{number:02}.png")
    (folder / "00.png").write_bytes(b"no image")
    one = Image.open(draw_network(cfg, [file], tmp_path / "one.png", run)).size
    assert Image.open(draw_network(cfg, [folder], tmp_path / "all.png", run)).size == (one[0], 2 * one[1])
    log = capsys.readouterr().err
    assert "00.png is left out" in log
    assert "1 more images are not drawn" in log
