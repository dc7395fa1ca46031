"""VisualDL's ``LogWriter`` that writes at once, where VisualDL itself leaves writing to a thread.

A full disk ends that thread while it flushes, and ``LogWriter.close`` then waits for it forever. Written at once, the
error reaches the caller, and what cannot be written whole is taken back.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from visualdl import LogWriter
from visualdl.proto.record_pb2 import Record

from .visualdl_log import LENGTH


class DirectLogWriter(LogWriter):
    """A ``LogWriter`` to ``log_dir / name``, whose calls raise OSError if the file cannot be written.

    A file that exists is continued; without a name it is a new one, named by the second as VisualDL names its own.
    """

    def __init__(self, log_dir: Path, name: str = "") -> None:
        name = name or f"vdlrecords.{time.time():010.0f}.log"
        log_dir.mkdir(parents=True, exist_ok=True)
        self._direct = RecordFile(log_dir / name)
        super().__init__(str(log_dir), file_name=name)

    def _get_file_writer(self) -> RecordFile:
        self._file_writer = self._direct
        return self._direct


class RecordFile:
    """Appends records to a file, each its length in 8 bytes and its serialised form."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_filename(self) -> str:
        return str(self.path)

    def add_record(self, record: Record) -> None:
        content = record.SerializeToString()
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(LENGTH.pack(len(content)) + content)
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise
