"""Curves and pictures for VisualDL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from ...layers import density
from ...models.pictures import choose, pictures
from ...utils.logger import get_logger
from ...utils.rng import fixed_seed
from ..distributed import rank
from .base import RunCallback, Stopwatch
from .visualdl_log import rewind

if TYPE_CHECKING:
    from visualdl import LogWriter

SIDE = 320  # to which smaller pictures are enlarged, about what the page gives them


@dataclass(frozen=True)
class Hyperparameters:
    """What VisualDL compares runs by: the settings of this one, and the scalars that they have led to."""

    values: Mapping[str, str | float]
    metrics: Sequence[str]


class VisualDL(RunCallback):
    """Writes scalars of training and evaluation, and pictures, against the number of steps done.

    Training: loss, accuracy, lr, ips, and where the network samples, temperature and density, every ``log_interval``
    steps. Evaluation: what ``Evaluation`` has put into the logs. Pictures: the images given, once, and after each
    evaluation the network's own for the first of them, three of each kind that `ppeffconv.models.pictures` draws.

    Only process 0 writes, nothing is opened before the first scalar, and a resumed run continues its file, because
    VisualDL shows one file of a folder. A disk that is full ends the curves, not the training.

    Args:
        log_dir: the folder to give to ``visualdl --logdir``.
        log_interval: steps between two points.
        images: a few network inputs [N, C, H, W], or None.
        hyperparameters: of the run, or None.
    """

    def __init__(
        self,
        log_dir: str | Path,
        log_interval: int = 10,
        images: paddle.Tensor | None = None,
        hyperparameters: Hyperparameters | None = None,
    ) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self.log_interval = log_interval
        self.images = images
        self.hyperparameters = hyperparameters
        self._watch = Stopwatch()
        self._writer: LogWriter | None = None
        self._start: int | None = None
        self._broken = False
        self._lr = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._watch.start()

    def on_train_batch_begin(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self._lr = self.model._optimizer.get_lr()
        if self._start is None:
            self._start = self.global_step(step)

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        self._watch.step_done(logs["batch_size"])
        if (step + 1) % self.log_interval and step + 1 != self.params["steps"]:
            return
        scalars = {name: logs[name] for name in (*self.params["metrics"], "temperature") if name in logs}
        scalars |= {"lr": self._lr, "ips": self._watch.read()["ips"]}
        if (kept := density(self.model.network)) is not None:
            scalars["density"] = kept
        self._add_scalars("train", scalars, self.global_step(step) + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scalars = {
            name.removeprefix("eval_"): value for name, value in (logs or {}).items() if name.startswith("eval_")
        }
        scalars.pop("samples", None)
        if scalars:
            step = (epoch + 1) * self.params["steps"]
            self._add_scalars("eval", scalars, step)
            self._add_pictures(step)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.release()

    def release(self) -> None:
        """Write no more to the file."""
        self._writer = None

    def _add_scalars(self, group: str, scalars: dict[str, Any], step: int) -> None:
        if writer := self._open(step):
            for name, value in scalars.items():
                self._guard(writer.add_scalar, f"{group}/{name}", float(np.mean(value)), step)

    def _add_pictures(self, step: int) -> None:
        if self.images is None or not (writer := self._open(step)):
            return
        with paddle.no_grad(), fixed_seed(0):
            drawn = pictures(self.model.network, self.images[:1])
        for name in choose(list(drawn)):
            layer, _, kind = name.rpartition("/")  # the page groups by what is in front, and cuts long names off
            self._guard(writer.add_image, f"{kind}/{layer or 'output'}", _in_colours(drawn[name]), step)

    def _open(self, step: int) -> LogWriter | None:
        """Return the writer, opened now if this is the first use; None if this process writes nothing."""
        if self._writer is None and not self._broken and rank() == 0:
            self._guard(self._start_writer, step if self._start is None else self._start)
        return self._writer

    def _start_writer(self, start: int) -> None:
        from .visualdl_writer import DirectLogWriter  # VisualDL takes a second to import

        self._writer = DirectLogWriter(self.log_dir, rewind(self.log_dir, start) if start else "")
        if start == 0 and self.hyperparameters is not None:
            self._writer.add_hparams(dict(self.hyperparameters.values), list(self.hyperparameters.metrics))
        if start == 0 and self.images is not None:
            for i, image in enumerate(self.images.numpy()):
                self._writer.add_image(f"input/{i}", _to_bytes(image.transpose(1, 2, 0)), 0)

    def _guard(self, write: Any, *arguments: Any) -> None:
        if self._broken:
            return
        try:
            write(*arguments)
        except OSError as error:
            self._broken, self._writer = True, None
            get_logger().warning(f"cannot write {self.log_dir}: {error}; the run goes on without VisualDL")


def _in_colours(picture: np.ndarray) -> np.ndarray:
    """A picture [h, w] in [0, 1], from dark blue to yellow."""
    from matplotlib import colormaps  # comes with VisualDL, and takes a while to import

    return _enlarged(colormaps["viridis"](picture, bytes=True)[:, :, :3])


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """Stretch the first three channels of an image [H, W, C], or its only one, to 0..255, three channels."""
    image = image[:, :, :3]
    low, high = float(image.min()), float(image.max())
    scaled = np.round((image - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return _enlarged(np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else scaled)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """The pixels of a small image as squares, which the page would blur if it enlarged it."""
    factor = max(1, SIDE // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
