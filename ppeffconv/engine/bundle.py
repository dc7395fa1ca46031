"""The folder of an exported network: a program, its weights, and a manifest that seals them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FORMAT = 1  # of the folder; another one is refused
MANIFEST = "manifest.json"
PROGRAM, PARAMETERS, ONNX = "model.json", "model.pdiparams", "model.onnx"
KIND = "ppeffconv-export"
AGAIN = "export the network again"


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
    """
    folder = Path(folder)
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


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"no exported network at {folder}: {MANIFEST} is missing (tools/export.py makes it)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format"] if manifest["kind"] == KIND else None
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{path} is damaged, or not of an exported network ({error!r}): {AGAIN}") from error
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

    If the block raises, ``path`` stays as it was.

    Raises:
        ValueError: something other than an exported network is at ``path``, or the process works in it; it is not
            touched.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"the folder of an export must be a path, got {path!r}")
    path = Path(path)
    if Path.cwd().is_relative_to(path.resolve()):
        raise ValueError(f"'{path}' is the current folder or one around it, which cannot be replaced: give another")
    if path.exists() and not ((path / MANIFEST).is_file() or (path.is_dir() and not any(path.iterdir()))):
        raise ValueError(f"{path} exists and is not an exported network: give another folder, or remove it")
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"{path.parent} is a file: {path} cannot be a folder in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    draft, earlier = scratch / "draft", scratch / "earlier"
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            os.replace(path, earlier)
        try:
            os.replace(draft, path)
        except OSError:
            if earlier.exists():
                os.replace(earlier, path)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
