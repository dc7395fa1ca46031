"""Checksums of files, written as the world writes them: bare SHA-256 digits, or "md5:" and digits."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20
DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Checksum:
    """What a file must hash to. MD5 tells damage from a whole file, but not a forgery: it is for old publishers."""

    algorithm: str
    digits: str

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Read "<64 digits>", "sha256:<64 digits>" or "md5:<32 digits>"; ValueError for anything else."""
        algorithm, _, digits = text.strip().lower().rpartition(":")
        algorithm = algorithm or "sha256"
        if algorithm not in DIGITS or not re.fullmatch(f"[0-9a-f]{{{DIGITS[algorithm]}}}", digits):
            raise ValueError(
                f"a checksum is 64 hexadecimal digits of SHA-256, or 'md5:' and 32 of MD5; got {text!r} "
                f"({len(digits)} characters)"
            )
        return cls(algorithm, digits)

    @classmethod
    def of(cls, path: str | Path, algorithm: str = "sha256") -> Checksum:
        """Hash a file."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return cls(algorithm, digest.hexdigest())

    def fits(self, path: str | Path) -> bool:
        """Tell whether the file at ``path`` is there and has this checksum."""
        return Path(path).is_file() and Checksum.of(path, self.algorithm) == self

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digits}"
