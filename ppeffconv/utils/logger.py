"""The package's logger: silent until a program asks for it, then on the console and in the run's train.log."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path

NAME = "ppeffconv"
FORMAT = "[%(asctime)s] %(levelname)s: %(message)s"
DATES = "%Y/%m/%d %H:%M:%S"
MOST_EARLIER = 1000  # lines that are kept for a file that is not there yet


def get_logger() -> logging.Logger:
    """Return the logger that every module of the package writes to."""
    return logging.getLogger(NAME)


def setup(run_dir: str | Path | None = None, rank: int = 0) -> logging.Logger:
    """Send the package's messages to the console (stderr) and, given a folder, to its ``train.log``.

    Calling it again replaces what an earlier call set up, so a program may start on the console alone and add the file
    once the run's folder is known: what was told before goes to the file first, because it belongs to the run too.
    Ranks other than 0 show warnings only and write no file.
    """
    logger = get_logger()
    earlier = [record for handler in logger.handlers if isinstance(handler, _Console) for record in handler.earlier]
    close()
    logger.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    logger.propagate = False  # paddle and visualdl leave a handler on the root logger: each line would come twice
    _add(logger, _Console(0 if run_dir else MOST_EARLIER))
    if run_dir is not None and rank == 0:
        path = Path(run_dir) / "train.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _File(path, encoding="utf-8")
            _add(logger, file)
            for record in earlier:
                file.handle(record)
        except OSError as error:
            logger.warning(f"no log file: cannot write {path}: {error.strerror}")
    return logger


def close() -> None:
    """Undo ``setup``: close the log file and give the messages back to the application's own logging."""
    logger = get_logger()
    for handler in list(logger.handlers):
        if isinstance(handler, (_Console, _File)):
            logger.removeHandler(handler)
            handler.close()
    logger.propagate = True


def _add(logger: logging.Logger, handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter(FORMAT, DATES))
    logger.addHandler(handler)


class _Console(logging.StreamHandler):
    """The terminal, and the last lines that it was given."""

    def __init__(self, most_earlier: int) -> None:
        super().__init__()
        self.earlier: deque[logging.LogRecord] = deque(maxlen=most_earlier)

    def emit(self, record: logging.LogRecord) -> None:
        self.earlier.append(record)
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop what a closed terminal or pipe cannot take."""


class _File(logging.FileHandler):
    """A log file whose failure, such as a full disk, is told once on the console and never stops a run."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        if not self.failed:
            self.failed = True
            get_logger().warning(f"cannot write {self.baseFilename}; the run goes on, its log is incomplete")

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # closing flushes, which fails again on a disk that is still full
            self.handleError(logging.LogRecord(NAME, logging.WARNING, "", 0, "", None, None))
