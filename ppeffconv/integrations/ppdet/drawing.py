"""What backbone and pyramid of a trained detector do to images, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from ppdet.core.workspace import create

from ...data.image_files import read_image
from ...inference.drawing import LINES, draw_lines, panels
from ...inference.images import find_images
from ...utils.optional import require
from . import config
from .cost import FeatureMaps
from .runner import EffConvTrainer, load_weights, readable


def draw_features(
    cfg: Any, images: Sequence[str | Path], output: Path | None = None, weights: str | None = None
) -> Path:
    """Draw a line for each image: the image as the detector gets it, and `panels` of what its layers make of it.

    Args:
        cfg: from `config.load`; its TestReader prepares the images.
        images: files, and folders of them; the first that can be read are drawn.
        output: the picture; default: ``pictures.png`` in the run's folder.
        weights: default: the last or best of the run.

    Raises:
        FileNotFoundError: no images or no weights.
        ValueError: none of the images can be read.
        RuntimeError: matplotlib is not installed.
    """
    require("matplotlib", "benchmark")
    files = readable([file for path in images for file in find_images(path)])[:LINES]
    cfg["deploy"] = False  # a deployed network has no layers to look into
    trainer = EffConvTrainer(cfg, "test")
    load_weights(trainer, cfg, weights)
    trainer.dataset.set_images(files)
    net, lines = FeatureMaps(trainer.model), []
    for file, batch in zip(files, create("TestReader")(trainer.dataset, 0)):
        lines.append([("image", np.asarray(read_image(file))), *panels(net, paddle.to_tensor(batch["image"]))])
    return draw_lines(lines, output or config.run_dir(cfg) / "pictures.png")
