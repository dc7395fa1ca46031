"""Download a file once: checked, atomic, resumed, and safe when several processes ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from .checksum import Checksum
from .files import replacing
from .logger import get_logger
from .transfer import TransferError, discard, transfer

LIMIT = 4 << 30  # bytes
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ON_FOR_OFFLINE = ("1", "true", "yes", "on")


def home() -> Path:
    """Return the folder for downloads: ``$PPEFFCONV_HOME``, else ``~/.cache/ppeffconv``."""
    return Path(os.environ.get("PPEFFCONV_HOME") or "~/.cache/ppeffconv").expanduser()


def offline() -> bool:
    """Tell whether ``$PPEFFCONV_OFFLINE`` forbids the network: 1, true, yes or on."""
    return os.environ.get("PPEFFCONV_OFFLINE", "").strip().lower() in ON_FOR_OFFLINE


def download(url: str, checksum: str | None = None, filename: str | None = None, limit: int = LIMIT) -> Path:
    """Return the local copy of ``url`` in ``home()``, downloading it unless it is there and intact.

    A transfer that breaks off goes on where it was, also in a later call; a proxy is taken from ``https_proxy`` and
    ``http_proxy``. Of several processes one downloads and the others wait.

    Args:
        url: where it is, by https or http.
        checksum: what it must hash to: hexadecimal digits of SHA-256, or "md5:" and digits. None if nobody has
            published one: then only https is accepted, and the first download pins the SHA-256 in
            ``<file>.sha256`` (the format of sha256sum), which every later one must have.
        filename: its path in the folder; default: the last part of the URL.
        limit: bytes that it may have.

    Raises:
        ValueError: not an address, a checksum or a path in the folder.
        RuntimeError: it could not be had. The message gives the URL, the path where a copy fetched by other means
            would be found, and its checksum.
    """
    target = home() / _relative(url, filename)
    known = Checksum.parse(checksum) if checksum else None
    pin = target.with_name(f"{target.name}.sha256")
    try:
        if _there(url, target, known, pin):
            return target
        if offline():
            raise TransferError("PPEFFCONV_OFFLINE is set, and it is not there")
        with _alone(target):
            if not _there(url, target, known, pin):  # another process may have fetched it meanwhile
                _fetch(url, target, known or _pinned(pin), pin, limit)
    except (TransferError, OSError) as error:
        raise RuntimeError(
            f"cannot download {url}: {error}. Fetch it by other means and save it as {target} "
            f"({_expectation(known, pin)}); PPEFFCONV_HOME names another folder, https_proxy a proxy"
        ) from None
    return target


def _relative(url: str, filename: str | None) -> PurePosixPath:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address that begins with https:// or http://, got {url!r}")
    path = PurePosixPath(filename if filename is not None else PurePosixPath(unquote(parts.path)).name)
    if not path.name or path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise ValueError(f"expected a file's path inside the download folder, got {str(path)!r} for {url}")
    return path


def _there(url: str, target: Path, known: Checksum | None, pin: Path) -> bool:
    """Tell whether the right file is there. One that the user has put there is taken and pinned if none is known."""
    if not target.is_file():
        return False
    expected = known or _pinned(pin)
    if expected is None:
        _pin(pin, target, url)
    elif not expected.fits(target):
        get_logger().warning(f"{target} is not the expected file ({expected.algorithm} differs)")
        return False
    return True


def _fetch(url: str, target: Path, expected: Checksum | None, pin: Path, limit: int) -> None:
    parts = urlsplit(url)
    if expected is None and parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise TransferError("without a checksum only https is safe")
    get_logger().info(f"downloading {url}")
    part = target.with_name(f".{target.name}.part")
    pieced = transfer(url, part, limit)
    if expected and pieced and not expected.fits(part):  # the file has changed meanwhile, and the server did not say so
        discard(part)
        transfer(url, part, limit)
    if expected and not expected.fits(part):
        got = Checksum.of(part, expected.algorithm)
        discard(part)
        raise TransferError(f"the file has {got}, not {expected}" + _about_pin(pin))
    _flush(part)
    os.replace(part, target)
    discard(part)
    if expected is None:
        _pin(pin, target, url)


def _about_pin(pin: Path) -> str:
    return f" as when it was first downloaded; if it was replaced on purpose, remove {pin}" if pin.exists() else ""


def _expectation(known: Checksum | None, pin: Path) -> str:
    if known:
        return str(known)
    return f"its checksum is pinned in {pin}" if pin.exists() else "nobody has published its checksum"


def _pinned(pin: Path) -> Checksum | None:
    if not pin.is_file():
        return None
    text = pin.read_text(encoding="utf-8").split()
    try:
        return Checksum.parse(text[0] if text else "")
    except ValueError as error:
        raise TransferError(f"{pin} is damaged ({error}): remove it") from None


def _pin(pin: Path, target: Path, url: str) -> None:
    found = Checksum.of(target)
    with replacing(pin) as temporary:
        temporary.write_text(f"{found.digits}  {target.name}\n", encoding="utf-8")
    get_logger().warning(f"{url}: nobody has published its checksum; {found}, from now on pinned in {pin}")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock of ``target``, between threads, processes and ranks; say so before waiting for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        get_logger().info(f"another process is downloading {target}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _flush(path: Path) -> None:
    """Force a file to the disk, so that a power cut after the rename leaves no empty one."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
