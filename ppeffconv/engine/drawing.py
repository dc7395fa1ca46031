"""What a trained network does to images, as one picture: masks, octave groups, dynamic and nested filters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from PIL import Image

from ..config import Config
from ..data import build_loader, build_transforms
from ..models.pictures import choose, pictures
from ..utils.figures import sheet
from ..utils.optional import require
from .inference import data_facts, load_network
from .rng import fixed_seed


def draw_network(cfg: Config, images: Sequence[str | Path], output: Path, weights: str | Path | None = None) -> Path:
    """Draw a line for each image: the image, and `models.pictures` of three layers for each kind that there is.

    Args:
        cfg: of a run of this package.
        images: files.
        output: the picture.
        weights: see `load_network`.

    Raises:
        FileNotFoundError: there are no weights, or no image.
        ValueError: the network has nothing to draw, or a file is no image.
        RuntimeError: matplotlib is not installed.
    """
    require("matplotlib", "benchmark")
    net, facts = load_network(cfg, weights)
    facts = facts or data_facts(build_loader(cfg, "Eval").dataset)
    transforms = build_transforms(cfg["DataLoader"]["Eval"]["transforms"])
    lines = []
    for path in images:
        shown = _open(Path(path), facts["image_mode"])
        with fixed_seed(0):
            drawn = pictures(net, paddle.to_tensor(transforms(shown)[None]))
        if not drawn:
            raise ValueError(
                f"{cfg['Arch']['name']} has nothing to draw: name a network with octave, dynamic, versatile or sampled "
                "convolutions"
            )
        lines.append([("image", np.asarray(shown)), *((name, drawn[name]) for name in choose(list(drawn)))])
    columns = len(lines[0])
    with sheet(
        output, nrows=len(lines), ncols=columns, figsize=(1.9 * columns, 2.1 * len(lines)), squeeze=False
    ) as axes:
        for line, panels in zip(axes, lines):
            for axis, (name, panel) in zip(line, panels):
                limits = {"cmap": "gray"} if name == "image" else {"cmap": "viridis", "vmin": 0, "vmax": 1}
                axis.imshow(panel, interpolation="nearest", **limits)
                axis.set_title(name.replace("/", "\n"), fontsize=7)
                axis.axis("off")
    return output


def _open(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except FileNotFoundError:
        raise FileNotFoundError(f"no image {path}") from None
    except OSError as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from None
