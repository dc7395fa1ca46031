"""Continue a VisualDL log file after an interruption."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from ...utils.files import replacing

LENGTH = struct.Struct("<Q")


def rewind(log_dir: Path, step: int) -> str:
    """Drop from the newest log file in ``log_dir`` what lies after ``step``, and a last record that was cut off.

    A run that was killed has written points after its last checkpoint; the resumed run will write them again.

    Returns:
        The name of the file, to be continued, or "" if there is none.
    """
    files = sorted(log_dir.glob("*vdlrecords*"))
    if not files:
        return ""
    kept = [record for record in _records(files[-1].read_bytes()) if _step(record) <= step]
    with replacing(files[-1]) as temporary:
        temporary.write_bytes(b"".join(LENGTH.pack(len(record)) + record for record in kept))
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


def _step(record: bytes) -> int:
    from visualdl.proto.record_pb2 import Record

    return max((value.id for value in Record.FromString(record).values), default=0)
