"""What PaddleDetection 2.6.0 needs to train, evaluate and infer on Paddle 3.3, given to its own modules only."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor
from PIL import Image, ImageFile

from ...data.image_files import read_image
from ...data.process_loader import ProcessLoader
from ...utils.files import replacing
from ..compat import ModuleProxy, at_least_1d, concat, require
from .reader import read_sample

SMALLEST = 1e-3  # side of a box in pixels


def apply() -> None:
    """Correct PaddleDetection's modules; once is enough, and more often does no harm.

    - Its models concatenate and add tensors of which some have no axes, which Paddle up to 2.4 made [1].
    - RoIAlign of the stock configurations divides by zero where a box has no area: see `roi_align`.
    - Its drawings measure text by a method that Pillow 10 dropped.
    - Images are read by `read_sample`; a checkpoint replaces the former one only when it is written.
    - Batches are made by `ProcessLoader`: with its own loader, an error in one leaves the run waiting.

    Raises:
        ImportError: PaddleDetection is not installed, or something that it needs.
        RuntimeError: another version of it or of Paddle is installed.
    """
    require("paddledet", "2.6.0", ("3.3",), "det")
    _import()
    from ppdet.data import reader
    from ppdet.data.source import dataset
    from ppdet.data.transform.operators import Decode
    from ppdet.engine import trainer
    from ppdet.utils import checkpoint, visualizer

    vision = ModuleProxy(paddle.vision, ops=ModuleProxy(paddle.vision.ops, roi_align=roi_align))
    proxy = ModuleProxy(paddle, concat=concat, add_n=_add_n, vision=vision)
    for name, module in list(sys.modules.items()):
        if name.startswith("ppdet.modeling.") and getattr(module, "paddle", None) is paddle:
            module.paddle = proxy
    if not isinstance(visualizer.ImageDraw, ModuleProxy):
        dataset._is_valid_file = _is_image
        trainer.Image = ModuleProxy(trainer.Image, open=_open_for_drawing)
        visualizer.ImageDraw = ModuleProxy(visualizer.ImageDraw, Draw=_draw)
        checkpoint.paddle = ModuleProxy(paddle, save=_save)
        reader.DataLoader = ProcessLoader
        Decode.apply = _by_our_reader(Decode.apply)


def _import() -> None:
    """Import what is corrected, and keep Pillow's handling of truncated files, which PaddleDetection changes."""
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        import ppdet.engine
        import ppdet.modeling  # noqa: F401 - imports all models
    except ImportError as error:
        raise ImportError(
            f"PaddleDetection cannot be imported: {error}. It needs setuptools < 81 and numpy < 1.24 (pip install "
            "'ppeffconv[cpu,det]') and, on Debian, apt-get install libgl1 libglib2.0-0"
        ) from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def roi_align(
    x: Tensor,
    boxes: Tensor,
    boxes_num: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = True,
    name: str | None = None,
) -> Tensor:
    """`paddle.vision.ops.roi_align`, with a value where a box has no area.

    With ``aligned`` and an adaptive number of samples (``sampling_ratio`` 0 or less), Paddle takes no sample of such a
    box and divides by their number: NaN, which ReLU turns to 0 in the loss, while the whole gradient of the next layer
    is NaN. Here the box is a point, and its value the feature there, as with a fixed number of samples.

    Shapes:
        x: [N, C, H, W]; boxes: [R, 4] as x1, y1, x2, y2; boxes_num: [N] -> [R, C, *output_size].
    """
    if aligned and sampling_ratio <= 0 and boxes.shape[0]:
        low, high = boxes[:, :2], boxes[:, 2:]
        boxes = paddle.concat([low, paddle.where(high - low < SMALLEST, low + SMALLEST, high)], axis=1)
    return paddle.vision.ops.roi_align(
        x, boxes, boxes_num, output_size, spatial_scale, sampling_ratio, aligned, name=name
    )


def _add_n(inputs: Any, name: str | None = None) -> Tensor:
    """`paddle.add_n` of losses of which some have no axes and some are [1]."""
    if isinstance(inputs, (list, tuple)):
        inputs = [at_least_1d(tensor) for tensor in inputs]
    return paddle.add_n(inputs, name=name)


def _save(obj: Any, path: str, *args: Any, **kwargs: Any) -> None:
    """`paddle.save` that leaves the former file whole if it is interrupted."""
    with replacing(path) as temporary:
        paddle.save(obj, str(temporary), *args, **kwargs)


def _by_our_reader(decode: Any) -> Any:
    @functools.wraps(decode)
    def apply(self: Any, sample: dict[str, Any], context: Any = None) -> Any:
        if "image" not in sample:
            return read_sample(sample)
        try:
            return decode(self, sample, context)
        except AttributeError:  # it goes on with the undecoded bytes
            raise ValueError("an image given as bytes cannot be decoded: it is damaged or not an image") from None

    return apply


def _is_image(file: str) -> bool:
    """PaddleDetection passes over what is not JPEG, PNG or BMP without a word; the caller has read the files."""
    return Path(file).is_file()


def _open_for_drawing(file: str) -> Image.Image:
    """`PIL.Image.open` by the reader that the detector sees."""
    return read_image(file)


def _draw(image: Any, mode: str | None = None) -> Any:
    """`PIL.ImageDraw.Draw` with ``textsize``."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image, mode)
    if not hasattr(draw, "textsize"):
        draw.textsize = lambda text: draw.textbbox((0, 0), text)[2:]
    return draw
