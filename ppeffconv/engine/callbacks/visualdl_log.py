"""Cut a VisualDL log file back to where a run resumes, or to its last whole record."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

LENGTH = struct.Struct("<Q")


def rewind(log_dir: Path, step: int = sys.maxsize) -> str:
    """Cut the newest log file in ``log_dir`` at the first record that lies after ``step`` or is not whole.

    A run that was killed has written points after its last checkpoint, which the resumed run will write again. A full
    disk leaves a part of a record, behind which VisualDL's reader takes everything for something else, and gives up.

    Returns:
        The name of the file, to be continued, or "" if there is none.
    """
    files = sorted(log_dir.glob("*vdlrecords*"))
    if not files:
        return ""
    length = 0
    for record in _records(files[-1].read_bytes()):
        if _step(record) > step:
            break
        length += LENGTH.size + len(record)
    os.truncate(files[-1], length)
    return files[-1].name


def _records(content: bytes) -> Iterator[bytes]:
    """Split a log file: each record is its length in 8 bytes and a serialised ``Record``."""
    position = 0
    while position + LENGTH.size <= len(content):
        (length,) = LENGTH.unpack_from(content, position)
        position += LENGTH.size
        if position + length > len(content):
            return
        yield content[position : position + length]
        position += length


def _step(record: bytes) -> float:
    """Return the step of a record, infinite if it is none."""
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record

    try:
        return max((value.id for value in Record.FromString(record).values), default=0)
    except DecodeError:
        return float("inf")
