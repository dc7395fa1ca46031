"""The engines that are compared, and a worker process that runs one job in one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ENGINES = {
    "ours": "this package: compiled kernels, threads and memory tuned",
    "torch": "PyTorch, eager, float32",
    "paddle": "Paddle Inference with oneDNN, float32",
    "openvino": "OpenVINO for latency, shapes fixed, in float32 or in its default precision",
    "onnxruntime": "onnxruntime, float32, shapes fixed",
    "stock": "Paddle as installed: its own ops, threads and memory",
    "stock-threads": "Paddle as installed, told to use the threads",
}
PEERS = ("torch", "openvino", "onnxruntime")  # those that live in an environment of their own
GRACE = 10.0  # seconds for a process that has failed to end
HERE = Path(__file__).parent
# settings of the caller's shell, or of a library in the parent, must not decide how fast an engine is
PRIVATE = ("OMP_", "KMP_", "GOMP_", "MKL_", "MALLOC_", "FLAGS_", "PPEFFCONV_OPS", "PPEFFCONV_TUNE", "PYTHONPATH")
STOCK = {"PPEFFCONV_OPS": "reference", "PPEFFCONV_TUNE": "0"}


class Worker:
    """A process that runs one job (see `peers.serve`); use it in a ``with`` block.

    Args:
        engine: one of ENGINES.
        threads: for the engines that are told.
        peer: interpreter of the peers' environment, for PEERS.
        patience: seconds that an answer may take, before the process is ended; None waits for ever.
    """

    def __init__(self, engine: str, threads: int, peer: Path | None = None, patience: float | None = None) -> None:
        self.engine, self._patience = engine, patience
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
        end, start = threading.Timer(self._patience or 0, self._process.kill), time.monotonic()
        if self._patience:
            end.start()
        try:
            self._process.stdin.write(json.dumps({"do": action, **arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        end.cancel()
        if not answer:
            late = self._patience and time.monotonic() - start > self._patience
            reason = f"no answer in {self._patience:g} s" if late else self._said()
            raise RuntimeError(f"engine '{self.engine}' failed ({action}):\n{reason}")
        return json.loads(answer)

    def _said(self) -> str:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:  # it closed its end, and hangs on its way out
            self._process.kill()
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
    if engine in PEERS:
        return [str(peer), "-m", "peers", engine, str(threads)]
    return [sys.executable, "-m", "benchmarks.speed.paddle_worker", engine, str(threads)]


def _environment(engine: str, threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    # the peers' interpreter sees the folder of the peers alone, not this package, which would import Paddle
    kept["PYTHONPATH"] = str(HERE if engine in PEERS else HERE.parents[1])
    if engine not in ("ours", *PEERS):
        kept |= STOCK
    if engine == "stock-threads":
        kept["FLAGS_paddle_num_threads"] = str(threads)
    return kept
