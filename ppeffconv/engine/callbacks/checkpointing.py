"""Saves checkpoints while training."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...utils.logger import get_logger
from ..checkpoint import copy_checkpoint, save_checkpoint
from ..distributed import rank
from ..snapshot import Best, Position, take_snapshot
from .base import RunCallback
from .ema import EMA


class Checkpoints(RunCallback):
    """Saves ``latest`` after each epoch, ``best`` when ``monitor`` is better, ``epoch_N`` every ``save_interval``.

    A save that fails, as on a full disk, is reported and training goes on; the checkpoint before it is whole. Only if
    a save after the last epoch has failed does ``on_train_end`` raise RuntimeError.

    Args:
        folder: where the checkpoints go.
        monitor: the entry of the logs to watch.
        save_interval: epochs between two ``epoch_N``; 0 for none.
        ema: the averaged weights to save as well.
        facts: entries added to the saved state, such as what must agree to resume.
        better: whether the first of two scores is the better one; default: the higher.
    """

    def __init__(
        self,
        folder: str | Path,
        monitor: str = "eval_top1",
        save_interval: int = 0,
        ema: EMA | None = None,
        facts: Mapping[str, Any] | None = None,
        better: Callable[[float, float], bool] = operator.gt,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.monitor = monitor
        self.save_interval = save_interval
        self.ema = ema
        self.facts = dict(facts or {})
        self.better = better
        self.best: Best | None = None
        self._failure: OSError | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        done = Position(epoch + 1)
        self._failure = None
        score = (logs or {}).get(self.monitor)
        if score is not None and (self.best is None or self.better(score, self.best.score)):
            # best before latest: a kill in between resumes before this epoch and finds the same score again.
            best = Best(score, done.epoch)
            if self._try("best", lambda path: self._write(path, done, best)):
                self.best = best
        if self.best is not None and self.best.epoch == done.epoch:
            self._try("latest", lambda path: copy_checkpoint(self.folder / "best", path))
        else:
            self.save_latest(done)
        if self.save_interval and done.epoch % self.save_interval == 0:
            self._try(f"epoch_{done.epoch}", lambda path: self._write(path, done, self.best))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._failure is not None:
            raise RuntimeError(
                f"training has ended, but its last checkpoint could not be saved in {self.folder}: {self._failure}. "
                "What is there is older; free some space and resume"
            )

    @property
    def saved(self) -> bool:
        """Whether all saves after the last epoch have succeeded."""
        return self._failure is None

    def save_latest(self, position: Position) -> bool:
        """Save ``latest`` at ``position``; return whether that succeeded."""
        return self._try("latest", lambda path: self._write(path, position, self.best))

    def _write(self, path: Path, position: Position, best: Best | None) -> None:
        save_checkpoint(path, take_snapshot(self.model, position, best, self.ema, self.facts))

    def _try(self, name: str, write: Callable[[Path], None]) -> bool:
        if rank() != 0:
            return True
        try:
            write(self.folder / name)
        except OSError as error:
            self._failure = error
            get_logger().error(
                f"cannot save {self.folder / name}: {error}; the one before it is kept, training goes on"
            )
            return False
        return True
