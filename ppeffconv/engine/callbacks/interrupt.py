"""Ctrl-C, SIGTERM or a terminal that is closed: finish the step, save, leave."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from ...utils.logger import get_logger
from ..distributed import any_process
from ..snapshot import Position
from .base import RunCallback
from .checkpointing import Checkpoints


def interrupts() -> list[int]:
    """SIGINT, SIGTERM, and SIGHUP, which a terminal sends that is closed, unless it is ignored as under nohup."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    heard = hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([hangup] if heard else [])]


class TrainingInterrupted(KeyboardInterrupt):
    """A signal has ended training after a save.

    Attributes:
        signum: the signal; by custom a program then exits with 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"training was interrupted by {signal.Signals(signum).name}")
        self.signum = signum


class GracefulStop(RunCallback):
    """On one of `interrupts`, finishes the running step, saves ``latest`` and raises ``TrainingInterrupted``.

    The second signal of a kind ends the process at once. Put this callback last. Outside the main thread, where Python
    cannot handle signals, it does nothing.
    """

    def __init__(self, checkpoints: Checkpoints | None = None) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self._received: int | None = None
        self._previous: dict[int, Any] = {}
        self._process = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            self._previous = {signum: signal.signal(signum, self._note) for signum in interrupts()}

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        if self._asked():
            position = Position(self.epoch, step + 1)
            self._leave(position, self.checkpoints is not None and self.checkpoints.save_latest(position))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._asked():  # during evaluation or saving: what came before this callback has saved already
            self._leave(Position(epoch + 1), self.checkpoints is not None and self.checkpoints.saved)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.release()

    def release(self) -> None:
        """Handle the signals as before; called at the end of training, also by an error."""
        for signum, handler in self._previous.items():
            # None: set from C by Paddle, which prints a stack trace and cannot be put back from Python.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        # Workers of the data loader inherit this handler and must live until the step is done.
        if os.getpid() == self._process:
            self._received = signum
            get_logger().info(f"{signal.Signals(signum).name}: finishing this step, then saving; again to leave now")

    def _asked(self) -> bool:
        return any_process(self._received is not None)

    def _leave(self, position: Position, saved: bool) -> None:
        if saved:
            get_logger().info(f"saved after epoch {position.epoch}, step {position.step}; --resume auto goes on there")
        any_process(False)  # wait for the one that saves: the launcher kills the others as soon as one has left
        self.release()
        raise TrainingInterrupted(self._received or signal.SIGTERM)
