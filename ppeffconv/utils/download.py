"""Download a file once: checked, atomic, and safe when several processes ask for it."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlparse

from filelock import FileLock

from .files import replacing
from .logger import get_logger

ATTEMPTS = 3
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20


def home() -> Path:
    """Return the folder for downloads: ``$PPEFFCONV_HOME``, else ``~/.cache/ppeffconv``."""
    return Path(os.environ.get("PPEFFCONV_HOME") or "~/.cache/ppeffconv").expanduser()


def download(url: str, sha256: str, filename: str | None = None) -> Path:
    """Return the local copy of ``url`` in ``home()``, downloading it unless it is there and intact.

    Args:
        url: where it is.
        sha256: the checksum it must have, as hexadecimal digits.
        filename: its name in the folder; default: the last part of the URL.

    Raises:
        RuntimeError: it could not be had. The message gives the URL, the path where a copy fetched by other means
            would be found, and its checksum.
    """
    target = home() / (filename or Path(unquote(urlparse(url).path)).name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.is_file():
            if _sha256(target) == sha256.lower():
                return target
            get_logger().warning(f"{target} is not the expected file (sha256 differs): downloading it again")
        try:
            with replacing(target) as temporary:
                _fetch(url, sha256.lower(), temporary)
        except _DownloadError as error:
            raise RuntimeError(
                f"cannot download {url}: {error}. Fetch it by other means and save it as {target} (sha256 {sha256})"
            ) from None
    return target


class _DownloadError(Exception):
    """Why a download failed, in words."""


def _fetch(url: str, sha256: str, path: Path) -> None:
    """Download to ``path``, trying again after what may pass: a lost connection or a busy server."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2**attempt / 2)
        get_logger().info(f"downloading {url}")
        try:
            _transfer(url, path)
        except urllib.error.HTTPError as error:
            problem = f"the server answered {error.code} {error.reason}"
            if 400 <= error.code < 500 and error.code != 429:
                break
        except (OSError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", error))
        else:
            got = _sha256(path)
            if got == sha256:
                return
            problem = f"the file has sha256 {got}"
            break
    raise _DownloadError(problem)


def _transfer(url: str, path: Path) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response, path.open("wb") as file:
        expected = response.headers.get("Content-Length")
        size = 0
        while chunk := response.read(CHUNK):
            size += file.write(chunk)
    if expected is not None and size != int(expected):
        raise ConnectionError(f"the transfer broke off after {size} of {expected} bytes")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
