"""The engines that are compared, and a worker process that runs one job in one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ENGINES = {
    "ours": "this package: compiled kernels, threads and memory tuned",
    "torch": "PyTorch, eager, NCHW",
    "stock": "Paddle as installed: its own ops, threads and memory",
    "stock-threads": "Paddle as installed, told to use the threads",
}
HERE = Path(__file__).parent
# settings of the caller's shell, or of a library in the parent, must not decide how fast an engine is
PRIVATE = ("OMP_", "KMP_", "GOMP_", "MKL_", "MALLOC_", "FLAGS_", "PPEFFCONV_OPS", "PPEFFCONV_TUNE", "PYTHONPATH")
STOCK = {"PPEFFCONV_OPS": "reference", "PPEFFCONV_TUNE": "0"}


class Worker:
    """A process that runs one job (see `torch_peer.serve`); use it in a ``with`` block.

    Args:
        engine: one of ENGINES.
        threads: for the engines that are told.
        peer: interpreter with PyTorch, for "torch".
    """

    def __init__(self, engine: str, threads: int, peer: Path | None = None) -> None:
        self.engine = engine
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            _command(engine, threads, peer),
            env=_environment(engine, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return the answer; RuntimeError, with what it printed, if the process has ended."""
        try:
            self._process.stdin.write(json.dumps({"do": action, **arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"engine '{self.engine}' failed ({action}):\n{self._said()}")
        return json.loads(answer)

    def _said(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:] or f"exit code {code}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def _command(engine: str, threads: int, peer: Path | None) -> list[str]:
    if engine == "torch":
        return [str(peer), "-m", "torch_peer", str(threads)]
    return [sys.executable, "-m", "ppeffconv.benchmark.paddle_worker", engine, str(threads)]


def _environment(engine: str, threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    # PyTorch's interpreter sees the peer alone, not this package, which would import Paddle
    kept["PYTHONPATH"] = str(HERE if engine == "torch" else HERE.parents[1])
    if engine.startswith("stock"):
        kept |= STOCK
    if engine == "stock-threads":
        kept["FLAGS_paddle_num_threads"] = str(threads)
    return kept
