"""The networks that the contestants of a session load: each saved once, into a folder that goes with the session."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.logger import get_logger
from .engines import Worker
from .environment import converter
from .rows import OURS, Contestant


class ModelStore:
    """Folders as `peers.models` describes them; use it in a ``with`` block.

    Args:
        threads: of the process that saves.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._root = tempfile.TemporaryDirectory(prefix="ppeffconv-benchmark-")
        self._folders: dict[str, Path] = {}

    def with_folder(self, contestant: Contestant) -> Contestant:
        """The contestant, told where the network lies that its job names under "models"."""
        if "models" not in contestant.job:
            return contestant
        job = dict(contestant.job)
        folder = self._folder(job.pop("models"))
        return contestant._replace(job={**job, "folder": str(folder)})

    def _folder(self, network: Mapping[str, Any]) -> Path:
        key = json.dumps(network, sort_keys=True)
        if key not in self._folders:
            self._folders[key] = folder = Path(self._root.name, str(len(self._folders)))
            folder.mkdir()
            with Worker(OURS, self._threads) as worker:
                facts = worker.ask("prepare", job="models", folder=str(folder), converter=converter(), **network)
            for form, reason in facts["failures"].items():
                get_logger().warning(f"{network['network']} cannot be saved as ONNX in its {form} form: {reason}")
        return self._folders[key]

    def __enter__(self) -> ModelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._root.cleanup()
