"""The networks that contestants load: saved once for as long as the package stays as it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

import ppeffconv
from ppeffconv.utils.download import home
from ppeffconv.utils.logger import get_logger

from .engines import Worker
from .environment import converter
from .rows import OURS, Contestant

SOURCES = (Path(ppeffconv.__file__).parent, Path(__file__).parent)  # of what is saved, and of how


def with_folder(contestant: Contestant, threads: int) -> Contestant:
    """The contestant, told in which folder (see `peers.models`) the network lies that its job names under "models"."""
    if "models" not in contestant.job:
        return contestant
    job = dict(contestant.job)
    folder = _saved(job.pop("models"), threads)
    return contestant._replace(job={**job, "folder": str(folder)})


def _saved(network: Mapping[str, Any], threads: int) -> Path:
    """Where a network lies; it is saved there unless it is there already."""
    current = home() / "benchmark-models" / _fingerprint()
    folder = current / hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()[:16]
    current.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{current.parent}.lock"):
        for earlier in current.parent.iterdir():
            if earlier != current:
                shutil.rmtree(earlier)
        if not folder.is_dir():
            _save(network, folder, threads)
    return folder


def _save(network: Mapping[str, Any], folder: Path, threads: int) -> None:
    draft = folder.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)  # what an interrupted attempt left
    draft.mkdir(parents=True)
    with Worker(OURS, threads) as worker:
        facts = worker.ask("prepare", job="models", folder=str(draft), converter=converter(), **network)
    for form, reason in facts["failures"].items():
        get_logger().warning(f"{network['network']} cannot be saved as ONNX in its {form} form: {reason}")
    draft.rename(folder)


def _fingerprint() -> str:
    """Of the sources: whatever changes may change what is saved."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
