"""The folder of an exported network: a program, its weights, and a manifest that seals them."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..utils.nested import rebuild

FORMAT = 1  # of the folder; another one is refused
MANIFEST = "manifest.json"
PROGRAM, PARAMETERS, ONNX = "model.json", "model.pdiparams", "model.onnx"
KIND = "ppeffconv-export"
AGAIN = "export the network again"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room for what is to be written
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's fcntl.h


def seal(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of what lies in ``folder``: ``facts``, each file's size and SHA-256, and its own SHA-256.

    Raises:
        ValueError: the facts are not such as JSON can hold.
    """
    files = {path.name: _fingerprint(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    try:
        manifest = json.loads(json.dumps({"kind": KIND, "format": FORMAT, **facts, "files": files}))
    except TypeError as error:
        raise ValueError(f"the facts of an export must be such as JSON can hold: {error}") from error
    manifest["sha256"] = _digest(manifest)
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of an exported network, after a check of every file in it.

    Raises:
        FileNotFoundError: there is no such folder, or a file is missing.
        RuntimeError: the folder is of another format, or a file is not what was exported.
        ValueError: ``folder`` is no path.
    """
    folder = as_path(folder)
    manifest = _manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: {AGAIN}, or copy the whole folder")
        got = _fingerprint(path)
        if got != expected:
            raise RuntimeError(
                f"{path} is not what was exported: expected {_describe(expected)}, got {_describe(got)}; "
                f"{AGAIN}, or copy the whole folder"
            )
    return manifest


def as_returned(returns: Any, arrays: Sequence[Any]) -> Any:
    """A program's outputs in the nesting that a manifest's ``returns`` tells: "array", "list" or as of `rebuild`."""
    return list(arrays) if returns == "list" else rebuild(0 if returns == "array" else returns, arrays)


def as_path(folder: Any) -> Path:
    """The path of an export's folder, of which ``~`` is the user's own; ValueError if it is none."""
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"the folder of an export must be a path, got {type(folder).__name__}")
    return Path(folder).expanduser()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"no exported network at {folder}: {MANIFEST} is missing (tools/export.py makes it)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format"] if manifest["kind"] == KIND else None
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"{path} is damaged, or not of an exported network ({reason}): {AGAIN}") from error
    if version != FORMAT:
        raise RuntimeError(f"{folder} has format {version}, this ppeffconv reads format {FORMAT}: {AGAIN} with it")
    expected, got = manifest.get("sha256"), _digest(manifest)
    if expected != got:
        raise RuntimeError(f"{path} was changed: expected SHA-256 {expected}, got {got}; {AGAIN}")
    return manifest


def _digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the manifest's content, however it is laid out."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _describe(fingerprint: Mapping[str, Any]) -> str:
    return f"{fingerprint['bytes']} bytes with SHA-256 {fingerprint['sha256']}"


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which takes its place at the end, all files at once.

    If the block raises, or the process is killed, ``path`` stays as it was.

    Raises:
        ValueError: something other than an exported network is at ``path``, or the process works in it; it is not
            touched.
        RuntimeError: the disk is full.
    """
    path = as_path(path)
    _check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    draft, earlier = scratch / "draft", scratch / "earlier"
    draft.mkdir()
    try:
        yield draft
        _put(draft, path, earlier)
    except OSError as error:
        if error.errno in FULL:
            raise RuntimeError(f"there is no room to write {path} ({error.strerror}): nothing was exported") from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_place(path: Path) -> None:
    if Path.cwd().is_relative_to(path.resolve()):
        raise ValueError(f"'{path}' is the current folder or one around it, which cannot be replaced: give another")
    if path.exists() and not ((path / MANIFEST).is_file() or (path.is_dir() and not any(path.iterdir()))):
        raise ValueError(f"{path} exists and is not an exported network: give another folder, or remove it")
    file = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if file is not None:
        raise ValueError(f"{file} is a file: {path} cannot be a folder in it")


def _put(draft: Path, path: Path, earlier: Path) -> None:
    """Let ``draft`` take the place of ``path``, and what was there that of ``draft`` or ``earlier``."""
    if path.exists() and not _exchange(draft, path):
        os.replace(path, earlier)
    if not path.exists():
        try:
            os.replace(draft, path)
        except OSError:
            if earlier.exists():
                os.replace(earlier, path)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, between whose halves nothing can be killed; False where that cannot be had."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and not rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
