"""The picture of a trained network."""

from __future__ import annotations

import pytest
from PIL import Image

from ppeffconv.engine.drawing import draw_network
from ppeffconv.engine.trainer import Trainer


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
    with pytest.raises(ValueError, match=r"bad.png is no image that can be read"):
        draw_network(cfg, [tmp_path / "bad.png"], tmp_path / "x.png", run)


def test_nothing_to_draw(make_cfg, image_root, tmp_path):
    cfg = make_cfg("Global.epochs=1", Arch={"width": 4})
    Trainer(cfg).train()
    with pytest.raises(ValueError, match="resnet20 has nothing to draw"):
        draw_network(
            cfg, [next((image_root / "eval").rglob("*.png"))], tmp_path / "x.png", tmp_path / "output" / "tiny"
        )
