"""One file over HTTP: resumed where it broke off, tried again after what may pass, and never past a limit."""

from __future__ import annotations

import http.client
import json
import random
import re
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import sleep
from typing import IO, Any
from urllib.parse import urlsplit

from .logger import get_logger
from .progress import progress

ATTEMPTS = 5
TIMEOUT = 30.0  # seconds without a byte
FIRST_WAIT = 0.5  # seconds, doubled after each failure, and up to half as much again by chance
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After is obeyed
CHUNK = 1 << 20
BUSY = (408, 425, 429, 500, 502, 503, 504)


class TransferError(Exception):
    """Why a file could not be had, in words; trying again would not help."""


class _PassingError(Exception):
    """A failure that may pass; ``wait`` is the number of seconds that the server asks for."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


def transfer(url: str, part: Path, limit: int) -> bool:
    """Download ``url`` to ``part``, going on from what an earlier call, or one that was killed, has left there.

    Beside ``part`` lies ``part.origin`` (JSON) while it can be continued: where the bytes come from and the validator
    (a strong ETag, else the date) by which the server knows that its file is still the same.

    Args:
        limit: bytes that the file may have.

    Returns:
        Whether the file was put together from several transfers.

    Raises:
        TransferError: it could not be had.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _attempt(url, part, limit)
        except _PassingError as error:
            problem, wait = str(error), error.wait
        if attempt + 1 < ATTEMPTS:
            get_logger().info(f"{url}: {problem}; trying again")
            sleep(FIRST_WAIT * 2**attempt * random.uniform(1, 1.5) if wait is None else wait)
    if not _origin(part).exists():
        part.unlink(missing_ok=True)
    raise TransferError(f"{problem} ({ATTEMPTS} attempts)")


def discard(part: Path) -> None:
    """Remove what a transfer has left."""
    for path in (part, _origin(part)):
        path.unlink(missing_ok=True)


def _name(part: Path) -> str:
    return part.name.removeprefix(".").removesuffix(".part")


def _origin(part: Path) -> Path:
    return part.with_name(f"{part.name}.origin")


def _attempt(url: str, part: Path, limit: int) -> bool:
    """Try once; return whether this went on from an earlier try."""
    offset, origin = _left_over(url, part)
    if offset and offset == origin["total"]:  # killed after the last byte
        return True
    resume = {"Range": f"bytes={offset}-", "If-Range": origin["validator"]} if offset else {}
    request = urllib.request.Request(url, headers={"User-Agent": "ppeffconv", **resume})
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT) as response:
            if response.status == 206:
                _check_continuation(response.headers, offset, origin, part)
            elif response.status != 200:
                raise TransferError(f"the server answered {response.status} {response.reason}")
            else:
                offset = 0
            total = _total(response.headers, offset)
            if offset == 0:
                _remember(url, part, response.headers, total)
            _receive(response, part, offset, total, limit)
            return offset > 0
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, part) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise TransferError(f"its certificate is not trusted ({reason.verify_message})") from None
        raise _PassingError(str(reason) or type(reason).__name__) from None


def _receive(response: http.client.HTTPResponse, part: Path, done: int, total: int | None, limit: int) -> None:
    if total is not None and total > limit:
        _too_large(part, f"it has {total} bytes", limit)
    with _open(part, "ab" if done else "wb") as file, progress(_name(part), total, done) as advance:
        while total is None or done < total:
            # read1 returns what has come, so that nothing is lost if the rest does not; and no byte past the end
            chunk = response.read1(CHUNK if total is None else min(CHUNK, total - done))
            if not chunk:
                break
            done += len(chunk)
            if done > limit:
                _too_large(part, f"it goes on after {limit} bytes", limit)
            _write(file, chunk)
            advance(len(chunk))
    if total is not None and done < total:
        raise _PassingError(f"the transfer broke off after {done} of {total} bytes")


def _left_over(url: str, part: Path) -> tuple[int, dict[str, Any]]:
    """Return how many bytes of ``url`` are there to go on from, and their origin."""
    with suppress(OSError, ValueError):
        origin = json.loads(_origin(part).read_text(encoding="utf-8"))
        if origin["url"] == url and origin["validator"]:
            return part.stat().st_size, origin
    discard(part)
    return 0, {}


def _remember(url: str, part: Path, headers: http.client.HTTPMessage, total: int | None) -> None:
    """Note the origin before the first byte comes; without a validator there is no going on later."""
    discard(part)
    validator = _validator(headers)
    if validator:
        with _open(_origin(part), "w") as file:
            _write(file, json.dumps({"url": url, "validator": validator, "total": total}))


def _validator(headers: http.client.HTTPMessage) -> str | None:
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _check_continuation(headers: http.client.HTTPMessage, offset: int, origin: dict[str, Any], part: Path) -> None:
    """Refuse what does not go on from ``offset`` in the same file."""
    got = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", headers.get("Content-Range", ""))
    same_total = got and got[2] in ("*", str(origin.get("total")))
    if not offset or not same_total or int(got[1]) != offset or _validator(headers) not in (None, origin["validator"]):
        discard(part)
        raise _PassingError("the server did not go on where the transfer broke off: it starts anew", wait=0)


def _total(headers: http.client.HTTPMessage, offset: int) -> int | None:
    length = headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() else None


def _refusal(error: urllib.error.HTTPError, part: Path) -> Exception:
    if error.code == 416:  # what is there is not the beginning of what the server has
        discard(part)
        return _PassingError("the server cannot go on where the transfer broke off: it starts anew", wait=0)
    problem = f"the server answered {error.code} {error.reason}".replace("\n", " ")
    if error.code not in BUSY:
        return TransferError(problem)
    wait = _retry_after(error.headers.get("Retry-After"))
    if wait is not None and wait > LONGEST_WAIT:
        return TransferError(f"{problem} and asks to come back in {wait:.0f} s")
    return _PassingError(problem, wait)


def _retry_after(text: str | None) -> float | None:
    """Seconds, from a number of seconds or a date; None where there is none that can be understood."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


def _too_large(part: Path, what: str, limit: int) -> None:
    discard(part)
    raise TransferError(f"{what}, and {limit} bytes is the limit")


def _open(path: Path, mode: str) -> IO[Any]:
    try:
        return path.open(mode)
    except OSError as error:
        raise TransferError(f"cannot write {path}: {error.strerror}") from None


def _write(file: IO[Any], data: bytes | str) -> None:
    """Write, and tell a full disk, which stays full, from a lost connection."""
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        raise TransferError(f"cannot write {file.name}: {error.strerror}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (ten at most, and no loops), but never from an encrypted to an open line."""

    def redirect_request(self, request: urllib.request.Request, *args: Any) -> urllib.request.Request | None:
        address = args[-1]
        before, after = urlsplit(request.full_url).scheme, urlsplit(address).scheme
        if after not in ("https", before):
            raise TransferError(f"it redirects to {address}: from {before} to {after} is refused")
        return super().redirect_request(request, *args)
