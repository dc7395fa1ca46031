"""Training says how many of its images cannot be read."""

from __future__ import annotations

import shutil

from ppeffconv.engine.trainer import Trainer


def test_training_counts_what_it_cannot_read(make_cfg, tiny_net, image_root, tmp_path):
    root = tmp_path / "train"
    shutil.copytree(image_root / "train", root)
    for name in ("dark/1.png", "light/3.png"):
        (root / name).write_bytes(b"?")
    run = Trainer(make_cfg("Global.epochs=3", f"DataLoader.Train.dataset.root={root}")).train().run_dir
    log = (run / "train.log").read_text()
    message = "2 of 21 training samples could not be read, and others took their place: "
    assert log.count(f"{message}{root}/dark/1.png, {root}/light/3.png") == 2  # after the first epoch and the last
