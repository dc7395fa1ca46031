"""Where a network samples: its masks drawn over images, as in the first figure of the sampling paper.

What other networks do is drawn as that of classifiers is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from paddleseg.transforms import Compose
from paddleseg.utils.utils import set_seed
from PIL import Image

from ...inference.drawing import LINES, draw_lines, panels
from ...inference.images import find_images
from ...models import pictures
from ...utils.figures import sheet
from ...utils.optional import require
from .reading import CheckedReading, read_image
from .runner import load_trained, readable
from .settings import RunConfig


def draw_masks(cfg: RunConfig, images: Sequence[str], output: Path, weights: str | None = None) -> Path:
    """Draw a row for each image: the image, the share of masks that keep each pixel, and the last mask of each stage.

    Of a network that does not sample, the row has the image and `panels`.

    Args:
        cfg: of a run; weights: default: its last checkpoint.
        images: files, and folders of them; the first that can be read are drawn.
        output: the picture.

    Raises:
        FileNotFoundError: no images or no weights.
        RuntimeError: none of the images can be read, or matplotlib is not installed.
    """
    require("matplotlib", "benchmark")
    paths = readable([str(file) for path in images for file in find_images(path)])[:LINES]
    builder, model = load_trained(cfg, weights)
    transforms = CheckedReading(Compose(builder.val_transforms))
    set_seed(cfg.run["seed"])
    rows = []
    for path in paths:
        inputs = paddle.to_tensor(transforms({"img": path})["img"]).unsqueeze(0)
        image = read_image(path, 3)[..., ::-1].astype(np.uint8)
        masks = {name: mask for name, mask in pictures(model, inputs).items() if name.endswith("/mask")}
        rows.append((image, masks) if masks else [("image", image), *panels(model, inputs)])
    return _draw_masks(rows, output) if isinstance(rows[0], tuple) else draw_lines(rows, output)


def _draw_masks(rows: list[tuple[np.ndarray, dict[str, np.ndarray]]], output: Path) -> Path:
    stages = sorted({_stage(name) for name in rows[0][1]})
    columns = 2 + len(stages)
    with sheet(output, nrows=len(rows), ncols=columns, figsize=(2.2 * columns, 2.3 * len(rows)), squeeze=False) as axes:
        for line, (image, masks) in zip(axes, rows):
            _draw_row(line, image, masks, stages)
    return output


def _draw_row(axes: Sequence, image: np.ndarray, masks: dict[str, np.ndarray], stages: list[str]) -> None:
    kept = np.mean([_enlarge(mask, image) for mask in masks.values()], axis=0)
    titles = ["image", f"share of masks, mean {kept.mean():.2f}"]
    layers = [image, kept]
    for stage in stages:
        mask = [mask for name, mask in masks.items() if _stage(name) == stage][-1]
        layers.append(_over(image, _enlarge(mask, image)))
        titles.append(f"{stage}, {np.mean(mask >= 0.5):.2f} kept")
    for axis, layer, title in zip(axes, layers, titles):
        axis.imshow(layer, vmin=0, vmax=1, cmap="magma")
        axis.set_title(title, fontsize=9)
        axis.axis("off")


def _stage(name: str) -> str:
    """ "layer3" of "backbone.net.layer3.0.conv2_gumbel/mask"."""
    return next(part for part in name.split(".") if part.startswith("layer"))


def _enlarge(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """1 where a mask keeps the position that a pixel belongs to."""
    height, width = image.shape[:2]
    kept = Image.fromarray((mask >= 0.5).astype(np.uint8))
    return np.asarray(kept.resize((width, height), Image.NEAREST), dtype=np.float32)


def _over(image: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The image in colour where it is computed, pale grey elsewhere."""
    grey = 255 - (255 - image.mean(axis=2, keepdims=True)) * 0.25
    return np.where(kept[..., None] > 0, image, grey).astype(np.uint8)
