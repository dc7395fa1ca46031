"""What PaddleSeg 2.8.0 needs to train, evaluate and infer on Paddle 3.3, given to its own modules only."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ...models import profile
from ..compat import ModuleProxy, at_least_1d, concat, require
from .loading import Loader


def apply() -> None:
    """Correct PaddleSeg's modules; once is enough, and more often does no harm.

    - Its metrics and its training loop were written for Paddle 2.4, where a sum had the shape [1], not [].
    - Its cross entropy multiplies integers by floats, which Paddle no longer promotes.
    - Paddle's loader hides what is wrong with a sample, see `Loader`, and its count of operations at the end of a
      training takes layers of other classes than its own for free.
    - What it draws on are the images as they were predicted, of any kind that can be read.

    Raises:
        ImportError: PaddleSeg is not installed, or one of its own requirements cannot be imported.
        RuntimeError: another version of it or of Paddle is installed.
    """
    require("paddleseg", "2.8.0", ("3.3",), "seg")
    try:
        import cv2
        import paddleseg.core
        import paddleseg.models  # noqa: F401 - registers its models and losses
        from paddleseg.models.losses import cross_entropy_loss
        from paddleseg.utils import metrics, visualize
    except ImportError as error:
        raise ImportError(
            f"PaddleSeg cannot be imported: {error}. OpenCV needs numpy < 2 (pip install 'ppeffconv[cpu,seg]') and, on "
            "Debian, apt-get install libgl1 libglib2.0-0"
        ) from error
    train = sys.modules["paddleseg.core.train"]  # a function of this name hides the module
    if isinstance(metrics.paddle, ModuleProxy):
        return
    metrics.paddle = ModuleProxy(paddle, concat=concat)
    loading = ModuleProxy(paddle.io, DataLoader=Loader)
    sys.modules["paddleseg.core.val"].paddle = ModuleProxy(paddle, io=loading)
    train.paddle = ModuleProxy(paddle, io=loading, flops=_flops)
    train.loss_computation = _with_axes(train.loss_computation)
    loss = cross_entropy_loss.CrossEntropyLoss
    loss._post_process_loss = _with_float_labels(loss._post_process_loss)
    cross_entropy_loss.F = ModuleProxy(F, one_hot=_one_hot)
    visualize.cv2 = ModuleProxy(cv2, imread=_read_for_drawing)
    sys.modules["paddleseg.core.predict"].cv2 = ModuleProxy(cv2, imwrite=_write_drawing)


def _with_axes(loss_computation: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
    """The training loop reads the first element of every loss."""

    @functools.wraps(loss_computation)
    def corrected(*args: Any, **kwargs: Any) -> list[Tensor]:
        return [at_least_1d(loss) for loss in loss_computation(*args, **kwargs)]

    return corrected


def _with_float_labels(post_process: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Weights are made in the type of the labels and multiplied by a float mask; floats hold every label exactly."""

    @functools.wraps(post_process)
    def corrected(self: Any, logit: Tensor, label: Tensor, semantic_weights: Tensor | None, loss: Tensor) -> Tensor:
        return post_process(self, logit, label.astype("float32"), semantic_weights, loss)

    return corrected


def _read_for_drawing(path: str) -> np.ndarray:
    """`cv2.imread` by the reader that predictions see."""
    from .reading import read_image  # needs PaddleSeg, of which `apply` tells whether it is there

    return read_image(path, 3).astype(np.uint8)


def _write_drawing(path: str, image: np.ndarray) -> bool:
    """`cv2.imwrite`, as a PNG file where OpenCV cannot write the image's own kind."""
    import cv2

    return cv2.imwrite(path if cv2.haveImageWriter(path) else f"{path}.png", image)


def _one_hot(x: Tensor, num_classes: int, name: str | None = None) -> Tensor:
    """`F.one_hot`, also of labels in floats."""
    return F.one_hot(x.astype("int64"), num_classes, name=name)


def _flops(net: nn.Layer, input_size: list[int], custom_ops: Any = None, print_detail: bool = False) -> int:
    """`paddle.flops` by `ppeffconv.profile`: multiply-adds, in the log."""
    from paddleseg.utils import logger

    counted = profile(net, input_size)
    shape = "x".join(map(str, input_size[1:]))
    logger.info(f"{counted.macs / 1e9:.3f} G multiply-adds for an image of {shape}, {counted.params:,} parameters")
    return counted.macs
