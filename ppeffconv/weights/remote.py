"""Where a set of weights lies on this machine: in the package, in the cache, or downloaded now."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from ..utils.checksum import Checksum
from ..utils.download import LIMIT, download
from .table import FOLDER, Row


def fetch(row: Row, folder: Path = FOLDER) -> Path:
    """Return the file of a row, downloading it if need be.

    ``$PPEFFCONV_WEIGHTS_URL`` names a mirror, which has the files under host and path of their addresses, as in the
    cache folder, and as ``wget -x`` stores them.

    Raises:
        FileNotFoundError, RuntimeError: the package's own file is missing or damaged, or the download failed.
    """
    if row.file:
        return _own(row, folder)
    mirror, parts = os.environ.get("PPEFFCONV_WEIGHTS_URL"), urlsplit(row.url)
    url = f"{mirror.rstrip('/')}/{parts.hostname}{parts.path}" if mirror else row.url
    return download(url, row.checksum, _place(row.url), row.size or LIMIT)


def fetch_url(url: str) -> Path:
    """Return the local copy of any address; "#sha256=<digits>" at its end names the checksum that it must have.

    Raises:
        ValueError: another fragment.
        RuntimeError: the download failed.
    """
    url, fragment = urldefrag(url)
    name, _, digits = fragment.partition("=")
    if fragment and name not in ("sha256", "md5"):
        raise ValueError(f"expected '#sha256=' and digits at the end of {url}, got '#{fragment}'")
    return download(url, f"{name}:{digits}" if fragment else None, _place(url))


def _own(row: Row, folder: Path) -> Path:
    path = folder / "files" / row.file
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: install the package again")
    if not Checksum.parse(row.checksum).fits(path):
        raise RuntimeError(f"{path} is damaged (expected sha256 {row.sha256}): install the package again")
    return path


def _place(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname
    if parts.port or parts.query:  # other files than without
        host += "-" + hashlib.sha256(f"{parts.port}?{parts.query}".encode()).hexdigest()[:12]
    return f"weights/{host}/{unquote(parts.path).lstrip('/')}"
